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
from typing import IO

from secondread import tables
from secondread.calibration.calibration import Calibration
from secondread.outputs.private import make_folder
from secondread.outputs.whole import whole_file
from secondread.readings.reading import Reading
from secondread.readings.streamed.packed_readings import PackedReadings
from secondread.readings.studies import COLUMNS, StudyReading, cells_of, place, ranked, read_studies

AT_ONCE = 2000
"""Readings of one file, which are held at once."""
MOST_FILES = 256
HEADER = ("path", "score", "study_id", "error", "patient")


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
        self._files: list[IO[str]] = []
        for number in range(self._count):
            file = self._stack.enter_context(self._dealt(number).open("w", encoding="utf-8", newline=""))
            file.write(tables.line(HEADER))
            self._files.append(file)

    def add(self, reading: Reading, score: str, patient: str) -> None:
        """A reading and its score as it stands in the table; without a study id it is left out."""
        if not reading.study_id:
            return
        self._any = True
        key = reading.study_id.encode("utf-8", "surrogatepass")  # equal ids of two patients stay in order
        cells = (reading.path, score, reading.study_id, reading.error, patient)
        self._files[zlib.crc32(key) % self._count].write(tables.line(cells))

    def write(self, path: Path, first: int) -> tuple[StudyReading, ...]:
        """The table of all studies, ranked, and the first of them; nothing is written where there is none."""
        self._stack.close()
        if not self._any:
            return ()
        for number in range(self._count):
            self._rank(number)
        merged = heapq.merge(*(self._ranked(number) for number in range(self._count)), key=place)
        highest: list[StudyReading] = []
        with whole_file(path) as file:
            file.write(tables.line(COLUMNS).encode())
            for rank, study in enumerate(merged, start=1):
                if len(highest) < first and study.score is not None:
                    highest.append(study)
                file.write(tables.line(cells_of(study, rank)).encode())
        return tuple(highest)

    def _dealt(self, number: int) -> Path:
        return self.scratch / f"{number}.dealt.csv"

    def _rank(self, number: int) -> None:
        """The studies of one file, ranked, in place of its readings."""
        dealt = self._dealt(number)
        whose = {}
        with dealt.open(encoding="utf-8", newline="") as file:
            for _, cells in islice(tables.read(file), 1, None):
                whose[cells[0]] = cells[-1]
        studies = read_studies(PackedReadings.read(dealt), self.calibration, whose)
        dealt.unlink()
        with (self.scratch / f"{number}.ranked.csv").open("w", encoding="utf-8", newline="") as file:
            file.writelines(tables.line(cells_of(study, 0)) for study in ranked(studies))

    def _ranked(self, number: int) -> Iterator[StudyReading]:
        with (self.scratch / f"{number}.ranked.csv").open(encoding="utf-8", newline="") as file:
            for _, (_, study_id, score, p_value, flagged, images, failed, worst, error) in tables.read(file):
                yield StudyReading(
                    study_id,
                    float(score) if score else None,
                    float(p_value) if p_value else None,
                    flagged == "true" if flagged else None,
                    int(images),
                    int(failed),
                    worst,
                    error,
                )
