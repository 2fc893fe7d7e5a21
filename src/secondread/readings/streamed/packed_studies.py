"""The readings of whole studies in little memory, by their worst images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from secondread.readings.reading import Reading
from secondread.readings.streamed.packed_readings import PackedReadings


class PackedStudies(Mapping[str, Reading]):
    """Path of a study's worst image -> the study's reading, whose `path` is the study id (`studies.csv`);
    studies without a score are left out.

    rows   all in the table's order, with their worst images' paths; empty of one without a score
    """

    def __init__(self, rows: PackedReadings) -> None:
        self.rows = rows

    @classmethod
    def read(cls, path: Path, *, judged: bool = True) -> Self:
        """Empty where there is no table. Raises UserError and DataError as `PackedReadings.read`."""
        return cls(
            PackedReadings.read(path, "worst_image", judged=judged) if path.is_file() else PackedReadings()
        )

    def flag(self, path: str) -> int:
        """As `PackedReadings.flags` has it."""
        return int(self.rows.flags[self._at(path)])

    def _at(self, path: str) -> int:
        at = self.rows.find(path) if path else None
        if at is None:
            raise KeyError(path)
        return at

    def __contains__(self, path: object) -> bool:
        return bool(path) and isinstance(path, str) and self.rows.find(path) is not None

    def __getitem__(self, path: str) -> Reading:
        found = self.rows[self._at(path)]
        return replace(found, path=found.study_id)

    def __iter__(self) -> Iterator[str]:
        return (path for path in self.rows.paths if path)

    def __len__(self) -> int:
        return len(self.rows) - (self.rows.find("") is not None)
