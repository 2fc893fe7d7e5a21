"""One line of a table of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table: its number in the file (the header is line 1) and its cells by column."""

    line: int
    cells: tuple[str, ...]
    places: Mapping[str, int] = field(repr=False)

    def __getitem__(self, column: str) -> str:
        return self.cells[self.places[column]]
