"""One image that is to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from secondread.cohorts.row import Row
from secondread.cohorts.sequences import frame_of, frames_of, time_of


@dataclass(frozen=True, slots=True)
class Item:
    """One image to be read.

    path       what the readings call it: the manifest's own string, or the path as given
    reference  what opens it from anywhere
    study_id   the study that it belongs to, or empty
    patient_id its patient, or empty
    frame, time_s   its place in a sequence (see `cohorts.sequences`); None where it is no frame of one
    problem    why it cannot be read, where that is known already, or empty
    """

    path: str
    reference: str
    study_id: str = ""
    patient_id: str = ""
    problem: str = ""
    frame: int | None = None
    time_s: float | None = None

    @classmethod
    def of_rows(
        cls, rows: Sequence[Row], named: Callable[[Row], str], opens: Callable[[Row], str]
    ) -> list[Self]:
        """The rows of a manifest; `named` gives what the readings call one, `opens` its reference."""
        frames = frames_of(rows)
        return [
            cls(named(row), opens(row), row.study_id, row.patient_id, frame=frame, time_s=time_of(row))
            for row, frame in zip(rows, frames, strict=True)
        ]

    @classmethod
    def of_row(cls, row: Row, reference: str) -> Self:
        """A manifest's row by itself: a frame where the row says so (see `sequences.frame_of`)."""
        return cls(
            row.path, reference, row.study_id, row.patient_id, frame=frame_of(row), time_s=time_of(row)
        )
