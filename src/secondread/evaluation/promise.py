"""What the run's calibration promised, as `run.json` tells it."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.readings.readings import Readings
from secondread.readings.score_record import CalibrationRecord, LevelRecord
from secondread.wording.short import Short


@dataclass(frozen=True, repr=False)
class Promise(Short):
    """A threshold and the false-alarm rate it stands for, while new normals resemble calibration's.

    rate         None where calibration had too few patients for it: then nothing is promised
    asked        the rate that was asked for, whether there were enough patients or not
    rate_range   the central 95 % of the true rate over calibration sets of this size (Beta)
    patients     calibration patients that the threshold rests on
    needed       how many patients this rate needs
    patient_ids  whether "all", "some" or "none" of the calibration normals had one
    words        the promise and its limits in sentences, as the calibration tells them
    """

    threshold: float | None = None
    rate: float | None = None
    asked: float | None = None
    rate_range: tuple[float, float] | None = None
    patients: int | None = None
    needed: int | None = None
    patient_ids: str = ""
    words: tuple[str, ...] = ()


def image_promise(readings: Readings) -> Promise:
    """Of the image-level threshold; empty where the run made no decisions."""
    told = readings.run.calibration
    return Promise() if told is None else _promise(told, told.images)


def study_promise(readings: Readings) -> Promise:
    """Of the study-level threshold; empty where there was none."""
    told = readings.run.calibration
    return Promise() if told is None else _promise(told, told.studies)


def map_scale(readings: Readings) -> tuple[float, float] | None:
    """The common colour scale of all maps (low, high), fixed on validation normals."""
    scale = readings.run.map_scale
    return scale if scale is not None and scale[0] < scale[1] else None


def _promise(told: CalibrationRecord, level: LevelRecord | None) -> Promise:
    if level is None:
        return Promise()
    return Promise(
        threshold=level.threshold,
        rate=None if level.threshold is None else told.false_alarm_rate,
        asked=told.false_alarm_rate,
        rate_range=level.false_alarm_rate_range,
        patients=level.patients,
        needed=level.patients_needed,
        patient_ids=told.patient_ids,
        words=told.words,
    )
