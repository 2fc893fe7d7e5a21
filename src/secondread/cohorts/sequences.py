"""Frames of one sequence: their places in it, as the manifest's columns `frame` and `time_s` say them."""

from __future__ import annotations

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from secondread.cohorts.row import Row, shared_file
from secondread.natural_order import natural

FRAME, TIME = "frame", "time_s"
PLACES = (FRAME, TIME)
"""The manifest's columns of frames."""
_FEWEST = 3
_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9/]*\.(?:png|jpe?g|tiff?))", re.IGNORECASE | re.DOTALL)
"""A picture's path before, in and after its last number. Slices in DICOM files are numbered too, and lie in
space."""


def place_of(number: int, time: str = "") -> dict[str, str]:
    """The columns of a frame: its number, from 0, and its seconds from the first frame as text."""
    return {FRAME: str(number), TIME: time}


def frame_of(row: Row) -> int | None:
    """The number of a row's frame: what the column says, else `#frame/N` of its path; None = no frame."""
    written = row.extra.get(FRAME, "").strip() or (
        row.path.rpartition("#frame/")[2] if shared_file(row.path) else ""
    )
    return int(written) if written.isdecimal() and written.isascii() and len(written) < 10 else None


def frames_of(rows: Sequence[Row]) -> list[int | None]:
    """The number of each row's frame, None = no frame.

    Beside rows that say it themselves (see `frame_of`), pictures of one study are frames of a sequence where
    three or more lie in one folder and their names differ in their last number alone; then it is their place
    in the order of these numbers.
    """
    found = [frame_of(row) for row in rows]
    for at, number in numbered_frames(rows, [frame is not None for frame in found]):
        found[at] = number
    return found


class Placed(Protocol):
    """What tells whether pictures are frames of one sequence."""

    @property
    def path(self) -> str: ...
    @property
    def study_id(self) -> str: ...
    @property
    def patient_id(self) -> str: ...


def numbered_frames(rows: Sequence[Placed], said: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The places and numbers of rows that are frames by their names alone (see `frames_of`); `said` are those
    that say it themselves. Of rows that are no frames a hash is held."""
    hashes = array("q", (0 if told else _hash(_alike(row)) for row, told in zip(rows, said, strict=True)))
    marks, numbers = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
    often = marks[(numbers >= _FEWEST) & (marks != 0)]
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at in np.flatnonzero(np.isin(np.frombuffer(hashes, np.int64), often)).tolist():
        if key := _alike(rows[at]):
            alike[key].append(at)
    for places in alike.values():
        if len(places) >= _FEWEST:
            yield from ((at, n) for n, at in enumerate(sorted(places, key=lambda at: natural(rows[at].path))))


def _alike(row: Placed) -> tuple[str, ...]:
    """What frames of one sequence have in common; empty for what can be none."""
    name = _NUMBERED.fullmatch(row.path) if row.study_id else None
    return (row.patient_id, row.study_id, name[1], name[3]) if name else ()


def _hash(key: tuple[str, ...]) -> int:
    return hash(key) or 1 if key else 0


def before_number(path: str) -> str:
    """What the names of the frames of one sequence begin with: a picture's path before its last number."""
    name = _NUMBERED.fullmatch(path)
    return name[1] if name else path


def time_of(row: Row) -> float | None:
    """The seconds in a row's column `time_s`; None where there is no finite number."""
    try:
        seconds = float(row.extra.get(TIME, ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None
