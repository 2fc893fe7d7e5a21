"""Filters on the columns of a manifest: `view=PA`, `view=PA|AP`, `age>=18`, `site!=B`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

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


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
