"""The concepts that a result says, each with a code: in DICOM and in FHIR the same."""

from __future__ import annotations

from dataclasses import dataclass

SCHEME = "99SECONDREAD"
SCHEME_NAME = "secondread's own codes"
SCHEME_UID = "2.25.137142253274110626093150335700057800525"
"""Names this scheme wherever a UID does; a random UUID under the root 2.25, drawn once."""


@dataclass(frozen=True)
class Concept:
    """A code of `SCHEME`: at most 16 characters, and at most 64 of meaning (PS3.3 8.2)."""

    value: str
    meaning: str


SCORE = Concept("score", "Anomaly score, higher is more abnormal")
PIXEL_SCORE = Concept("pixel-score", "Anomaly score of a pixel, higher is more abnormal")
STUDY_SCORE = Concept("study-score", "Anomaly score of the study, that of its worst image")
P_VALUE = Concept("p-value", "Conformal p-value among calibration normals")
FLAG = Concept("flag", "Flagged: the score reaches the calibrated threshold")
NOT_JUDGED = Concept("not-judged", "Not judged: too few calibration normals")
THRESHOLD = Concept("threshold", "Threshold at which a score is flagged")
FALSE_ALARM_RATE = Concept("false-alarm-rate", "Most false alarms that the threshold promises")
RATE_LOW = Concept("rate-low", "Lower end of the 95 % range of the false-alarm rate")
RATE_HIGH = Concept("rate-high", "Upper end of the 95 % range of the false-alarm rate")
NORMALS = Concept("normals", "Calibration normals")
PATIENTS = Concept("patients", "Patients among the calibration normals")
PROMISE = Concept("promise", "What the threshold promises")
NOT_READ = Concept("not-read", "Why the image was not read")
INTENDED_USE = Concept("intended-use", "Intended use")
WAS_READ = Concept("was-read", "The image was read")
SEGMENTATION = Concept("segmentation", "Where the map reaches the pixel threshold")
PARAMETRIC_MAP = Concept("parametric-map", "Map of the anomaly score")
OVERLAY = Concept("overlay", "Picture of the image with its map")
