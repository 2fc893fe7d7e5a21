"""Labelled images that have a score, each held as two numbers: where its row and its reading stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.cohorts.row import PackedRows, shared_file
from secondread.images.several_files import under
from secondread.packed import Chosen, Packed
from secondread.readings.reading import Reading
from secondread.readings.streamed.packed_readings import PackedReadings
from secondread.wording.short import Short

Places = NDArray[np.int64]
UNNAMED = "(no finding given)"


@dataclass(frozen=True, slots=True, repr=False)
class Case(Short):
    """One labelled test image that has a score.

    group   who an interval resamples: the patient, else the study, else the shared file, else the image
    """

    path: str
    reference: str
    abnormal: bool
    reading: Reading
    findings: tuple[str, ...] = ()
    patient: str = ""
    study: str = ""
    mask: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def score(self) -> float:
        assert self.reading.score is not None
        return self.reading.score

    @property
    def group(self) -> str:
        return group_of(self.patient, self.study, self.path)


def group_of(patient: str, study: str, path: str) -> str:
    return patient or study or shared_file(path) or path


def numbered(texts: Iterable[str]) -> Places:
    """A number for each, from 0 in order of appearance, equal where they are."""
    known: dict[str, int] = {}
    return np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int64)


def ranked(texts: Iterable[str]) -> Places:
    """A number for each, equal where they are, that orders them as they are ordered."""
    given = list(texts)
    places = {text: place for place, text in enumerate(sorted(set(given)))}
    return np.fromiter(map(places.__getitem__, given), np.int64, len(given))


class PackedCases(Packed[Case]):
    """Cases as columns; a `Case` is made each time that one is asked for.

    rows, readings      where they come from
    row_at, reading_at  `[n]` the place of each case's row and reading there
    base                the folder that the rows' paths are relative to
    """

    def __init__(
        self, rows: PackedRows, readings: PackedReadings, base: Path, row_at: Places, reading_at: Places
    ) -> None:
        self._rows, self._readings, self._base = rows, readings, base
        self._row_at, self._reading_at = row_at, reading_at

    def __len__(self) -> int:
        return len(self._row_at)

    def made(self, at: int) -> Case:
        row = self._rows.made(int(self._row_at[at]))
        return Case(
            path=row.path,
            reference=under(self._base, row.path),
            abnormal=row.label == "abnormal",
            reading=self._readings.made(int(self._reading_at[at])),
            findings=row.findings,
            patient=row.patient_id,
            study=row.study_id,
            mask=under(self._base, row.mask) if row.mask else None,
            extra={key: value for key, value in row.extra.items() if value},
        )

    def column(self, name: str) -> Sequence[str]:
        """The cells of a column of the manifest."""
        return Chosen(self._rows.column(name), self._row_at)

    @property
    def paths(self) -> Sequence[str]:
        """As the manifest names them."""
        return self.column("path")

    @property
    def paths_read(self) -> Sequence[str]:
        """As the readings name them."""
        return Chosen(self._readings.paths, self._reading_at)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """`[n]` of the readings' column, NaN where one lacks it (see `PackedReadings.numbers`)."""
        return self._readings.numbers(name)[self._reading_at]

    def read(self, name: str) -> Sequence[str]:
        """The readings' texts of a column (see `PackedReadings.text`)."""
        return Chosen(self._readings.text(name), self._reading_at)

    @property
    def part_names(self) -> tuple[str, ...]:
        """The raw parts that any reading of the run has, in the table's order."""
        named = self._readings.named
        return tuple(name.removeprefix("part_") for name in named if name.startswith("part_"))

    @cached_property
    def abnormal(self) -> NDArray[np.bool_]:
        return np.fromiter((label == "abnormal" for label in self.column("label")), bool, len(self))

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        return self.numbers("score")

    @property
    def flags(self) -> NDArray[np.uint8]:
        """See `PackedReadings.flags`."""
        return self._readings.flags[self._reading_at]

    @cached_property
    def groups(self) -> Places:
        """`[n]` a number for each `Case.group`, ordered as they are."""
        return ranked(self.group_names())

    def group_names(self) -> Iterator[str]:
        return map(group_of, self.column("patient_id"), self.column("study_id"), self.paths)

    @cached_property
    def patients(self) -> frozenset[str]:
        """The patients that the manifest names."""
        return frozenset(self.column("patient_id")) - {""}

    @property
    def without_patient(self) -> int:
        return sum(not patient for patient in self.column("patient_id"))

    def findings(self) -> tuple[Places, list[tuple[str, ...]]]:
        """`[n]` which of the cells that follow is each case's, and what findings each of them holds."""
        cells = self.column("finding")
        told = dict.fromkeys(cells)
        split = [tuple(part.strip() for part in cell.split(";") if part.strip()) for cell in told]
        return numbered(cells), split

    def remarks(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The path and the remarks of each case that has some."""
        for at, told in enumerate(self.read("remarks")):
            if told:
                yield self.paths[at], self._readings.remarks(int(self._reading_at[at]))

    def further(self) -> list[str]:
        """The manifest's further columns that are filled in some case: those of the first case come first."""
        first = {}
        for place, name in enumerate(self._rows.further):
            at = next((at for at, cell in enumerate(self.column(name)) if cell), None)
            if at is not None:
                first[name] = at, place
        return sorted(first, key=first.__getitem__)
