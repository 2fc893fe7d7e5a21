"""Tables as cells: what is common to every way of writing them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from secondread.comparison.judging.rows import Spread
from secondread.comparison.judging.table import Table
from secondread.wording.numbers import NOTHING

Kind = Literal["", "reference", "trivial"]


@dataclass(frozen=True)
class Cell:
    """`0.861 ± 0.012 (0.830–0.889)`: a figure, its standard deviation over seeds, its interval."""

    value: str
    deviation: str = ""
    interval: str = ""

    @property
    def text(self) -> str:
        deviation = f" ± {self.deviation}" if self.deviation else ""
        return self.value + deviation + (f" ({self.interval})" if self.interval else "")


@dataclass(frozen=True)
class Line:
    """One row; `best` where the method is not significantly worse than the one with the highest mean."""

    cells: tuple[Cell, ...]
    kind: Kind = ""
    best: bool = False


@dataclass(frozen=True)
class Section:
    """A table with its title and what must be known to read it.

    left  how many of the first columns hold words
    bold  the column in which a line that is `best` is bold
    """

    name: str
    title: str
    lead: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    left: int = 1
    bold: int | None = None


def spread(found: Spread | None, digits: int = 3, scale: float = 1.0) -> Cell:
    """Mean and, where there are several seeds, standard deviation."""
    if found is None:
        return Cell(NOTHING)
    deviation = "" if found.deviation is None else f"{scale * found.deviation:,.{digits}f}"
    return Cell(f"{scale * found.mean:,.{digits}f}", deviation)


def percent(found: Spread | None) -> Cell:
    return spread(found, 1, 100)


def measure(found: Spread | None, scale: float = 1.0) -> Cell:
    """About three digits of the mean, and all of those before the point; no more than three behind it."""
    if found is None:
        return Cell(NOTHING)
    return spread(found, max(0, 2 - math.floor(math.log10(max(scale * found.mean, 0.1)))), scale)


def named(name: str, table: Table) -> str:
    """A method with what it is there for."""
    row = next(row for row in table.rows if row.name == name)
    return f"{name} (reference)" if row.reference else f"{name} (trivial)" if row.trivial else name
