"""`studies.csv` of more readings than memory holds.

Readings are dealt out to files by their study, each file is grouped and ranked by itself as a folder's
readings are, and the ranked files are merged.
"""

from __future__ import annotations

import heapq
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from secondread import tables
from secondread.calibration.calibration import Calibration
from secondread.outputs.private import make_folder
from secondread.outputs.whole import whole_file
from secondread.readings.reading import Reading
from secondread.readings.studies import COLUMNS, StudyReading, cells_of, ranked, read_studies

AT_ONCE = 2000
"""Readings of one file, which are held at once."""
MOST_FILES = 256
_LINES_AT_ONCE = 64


@contextmanager
def many_studies(out: Path, calibration: Calibration, images: int) -> Iterator[ManyStudies]:
    """With a folder in `out` for the files between, which is gone at the end."""
    # named as a leftover is, so that the next run removes what a killed one leaves
    scratch = out / f".studies.{os.getpid()}-{secrets.token_hex(4)}.writing"
    try:
        make_folder(scratch)
        yield ManyStudies(scratch, calibration, images)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class ManyStudies:
    """The studies of `images` readings or fewer; `scratch` is an empty folder for the files between."""

    def __init__(self, scratch: Path, calibration: Calibration, images: int) -> None:
        self.scratch, self.calibration = scratch, calibration
        self._count = min(MOST_FILES, 1 + images // AT_ONCE)
        self._any = False
        self._stack = ExitStack()
        self._files = [
            self._stack.enter_context(self._dealt(number).open("w", encoding="utf-8", newline=""))
            for number in range(self._count)
        ]
        self._waiting: list[list[tuple[str, ...]]] = [[] for _ in self._files]

    def add(self, path: str, score: str, study_id: str, error: str, patient: str) -> None:
        """What a reading says, its score as it stands in the table; without a study id it is left out."""
        if not study_id:
            return
        self._any = True
        key = study_id.encode("utf-8", "surrogatepass")  # equal ids of two patients stay in order
        number = zlib.crc32(key) % self._count
        waiting = self._waiting[number]
        waiting.append((path, score, study_id, error, patient))
        if len(waiting) == _LINES_AT_ONCE:
            self._deal(number)

    def _deal(self, number: int) -> None:
        if waiting := self._waiting[number]:
            self._files[number].write(tables.lines(list(zip(*waiting, strict=True))))
            waiting.clear()

    def write(self, path: Path, first: int) -> tuple[StudyReading, ...]:
        """The table of all studies, ranked, and the first of them; nothing is written where there is none."""
        for number in range(self._count):
            self._deal(number)
        self._stack.close()
        if not self._any:
            return ()
        for number in range(self._count):
            self._rank(number)
        merged = heapq.merge(*(self._ranked(number) for number in range(self._count)), key=_place)
        highest: list[StudyReading] = []
        following = 1
        with whole_file(path) as file:
            file.write(tables.line(COLUMNS).encode())
            while some := list(islice(merged, _LINES_AT_ONCE)):
                for rank, cells in enumerate(some, following):
                    if cells[2]:
                        cells[0] = str(rank)
                        if len(highest) < first:
                            highest.append(_study(cells))
                file.write(tables.lines(list(zip(*some, strict=True))).encode())
                following += len(some)
        return tuple(highest)

    def _dealt(self, number: int) -> Path:
        return self.scratch / f"{number}.dealt.csv"

    def _rank(self, number: int) -> None:
        """The studies of one file, ranked, in place of its readings."""
        readings: dict[str, Reading] = {}
        patients: dict[str, str] = {}
        with self._dealt(number).open(encoding="utf-8", newline="") as file:
            for _, (path, score, study_id, error, patient) in tables.read(file):
                readings.pop(path, None)  # of equal paths the last stays, at its own place
                score_of = float(score) if score else None
                readings[path] = Reading(path, study_id=study_id, score=score_of, error=error)
                patients[path] = patient
        self._dealt(number).unlink()
        studies = ranked(read_studies(readings.values(), self.calibration, patients))
        with (self.scratch / f"{number}.ranked.csv").open("w", encoding="utf-8", newline="") as file:
            if studies:
                file.write(tables.lines(list(zip(*(cells_of(study) for study in studies), strict=True))))

    def _ranked(self, number: int) -> Iterator[list[str]]:
        with (self.scratch / f"{number}.ranked.csv").open(encoding="utf-8", newline="") as file:
            for _, cells in tables.read(file):
                yield cells


def _place(cells: list[str]) -> tuple[bool, float, str, str]:
    """`place` of a study by its cells."""
    _, study_id, score, _, _, _, _, worst, _ = cells
    return not score, -float(score or 0.0), study_id, worst


def _study(cells: list[str]) -> StudyReading:
    _, study_id, score, p_value, flagged, images, failed, worst, error = cells
    return StudyReading(
        study_id,
        float(score) if score else None,
        float(p_value) if p_value else None,
        flagged == "true" if flagged else None,
        int(images),
        int(failed),
        worst,
        error,
    )
