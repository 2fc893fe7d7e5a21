"""Filters on the columns of a manifest: `view=PA`, `view=PA|AP`, `age>=18`, `site!=B`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

from secondread.cohorts.columns import COLUMNS
from secondread.cohorts.row import Columns, Row
from secondread.errors import UserError

_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_PATTERN = re.compile(r"\s*([^=!<>]+?)\s*(!=|>=|<=|=|>|<)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """One condition on one column.

    `=` and `!=` compare text, with `|` between alternatives; an empty value means an empty cell.
    `<`, `<=`, `>`, `>=` compare numbers; a cell that is no number does not meet them.
    """

    text: str
    column: str
    sign: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises UserError that quotes what was written."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UserError(f"filter {text!r}: write COLUMN=VALUE, COLUMN!=VALUE or COLUMN>=NUMBER")
        column, sign, value = match.groups()
        if sign in _ORDERS and _number(value) is None:
            raise UserError(f"filter {text!r}: {value.strip()!r} is no number, which {sign} needs")
        return cls(text, column, sign, tuple(part.strip() for part in value.split("|")))

    def holds(self, cell: str) -> bool:
        if self.sign == "=":
            return cell in self.values
        if self.sign == "!=":
            return cell not in self.values
        left, right = _number(cell), _number(self.values[0])
        return left is not None and right is not None and _ORDERS[self.sign](left, right)


def parsed(texts: Sequence[str], further: Iterable[str], source: str) -> tuple[Condition, ...]:
    """The conditions on a manifest that has these further columns. Raises UserError for one that cannot be
    read or is on an unknown column."""
    conditions = tuple(Condition.parse(text) for text in texts)
    known = (*COLUMNS, *further)
    for condition in conditions:
        if condition.column not in known:
            raise UserError(
                f"{source}: no column {condition.column!r} for the filter "
                f"{condition.text!r}; the columns are {', '.join(known)}"
            )
    return conditions


def meets(row: Row, conditions: Iterable[Condition]) -> bool:
    """Whether a row meets every condition."""
    return all(condition.holds(row.value(condition.column)) for condition in conditions)


def which_meet(columns: Columns, conditions: Iterable[Condition]) -> list[bool]:
    """Of each row whether it `meets` every condition."""
    found = [True] * len(columns["path"])
    for condition in conditions:
        cells = columns.get(condition.column) or [""] * len(found)
        holds = {cell: condition.holds(cell) for cell in set(cells)}
        found = [before and holds[cell] for before, cell in zip(found, cells, strict=True)]
    return found


def some_of(columns: Columns, which: Sequence[bool]) -> Columns:
    """The rows that are chosen; none at all where no one is."""
    return columns if all(which) else {name: list(compress(cells, which)) for name, cells in columns.items()}


def none_meets(texts: Sequence[str], source: str) -> UserError:
    return UserError(f"{source}: no row meets {' and '.join(texts)}; loosen the filter")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
