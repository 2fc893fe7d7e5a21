"""What the calibration promised of one level of readings, as every kind of result says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from secondread.readings.reading import Reading
from secondread.readings.score_record import ScoreRecord
from secondread.wording.short import Short

Level = Literal["images", "studies"]
NOT_JUDGED = "not judged: too few calibration normals, or none"


@dataclass(frozen=True, repr=False)
class Promise(Short):
    """Each is None where the calibration does not say it.

    threshold         scores at or above it are flagged
    false_alarm_rate  the share of new normals that may be flagged, on average over calibration sets
    low, high         95 % range of the realised rate for a calibration set of this size
    normals           scores of normals that it was set on; `patients` of whom
    words             the same in sentences
    """

    threshold: float | None = None
    false_alarm_rate: float | None = None
    low: float | None = None
    high: float | None = None
    normals: int | None = None
    patients: int | None = None
    words: str = ""

    @classmethod
    def of(cls, run: ScoreRecord, level: Level) -> Self:
        told = run.calibration
        found = None if told is None else told.images if level == "images" else told.studies
        if told is None or found is None:
            return cls()
        low, high = found.false_alarm_rate_range or (None, None)
        promised = found.threshold is not None
        return cls(
            found.threshold,
            told.false_alarm_rate if promised else None,
            low,
            high,
            found.scores,
            found.patients,
            found.words,
        )


def judgement(reading: Reading) -> str:
    """`yes`, `no`, or that it was not judged."""
    return {True: "yes", False: "no", None: NOT_JUDGED}[reading.flagged]
