"""A number as a cell of a table says it."""

from __future__ import annotations

import re

_DECIMAL_COMMA = re.compile(r"[+-]?(\d*,(\d{1,2}|\d{4,})|0*,\d{3})", re.ASCII)


def number_in(cell: str) -> float:
    """The number in a cell; a comma may stand for the point, as in tables that a spreadsheet saved in much of
    Europe (`12,5`). What may be a thousand (`1,000`) is no number. Raises ValueError.

    >>> from secondread.cohorts.labels.cell_numbers import number_in
    >>> number_in("12,5"), number_in("1.0")
    (12.5, 1.0)
    """
    text = cell.strip()
    return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
