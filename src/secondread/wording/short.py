"""Objects in one short line, as a prompt and a notebook show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import Any

LONGEST = 240
"""Characters of an object's line."""
_LONGEST_VALUE = 60


def described(name: str, fields: Iterable[tuple[str | None, Any]]) -> str:
    """`name(field=value, …)`, values in brief, and cut where it is long.

    >>> described("Row", [("path", "a.png"), ("values", list(range(1000)))])
    "Row(path='a.png', values=<list of 1,000>)"
    """
    text, more = "", ""
    for field, value in fields:
        text += f"{more}{field}={brief(value)}"
        more = ", "
        if len(text) > LONGEST:
            return f"{name}({shortened(text, LONGEST)})"
    return f"{name}({text})"


def brief(value: Any) -> str:
    """A value in some sixty characters at most: arrays by type and shape, collections by their number."""
    if isinstance(value, str):
        return repr(shortened(value, _LONGEST_VALUE))
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{value.dtype} [{', '.join(map(str, value.shape))}]>"
    if isinstance(value, Mapping | Set) or (isinstance(value, Sequence) and not hasattr(value, "_fields")):
        plain = all(isinstance(one, int | float | str | None) for one in islice(value, 4))
        if not isinstance(value, Mapping) and len(value) <= 3 and plain:
            return shortened(repr(value), _LONGEST_VALUE)
        return f"<{type(value).__name__} of {len(value):,}>"
    return shortened(repr(value), _LONGEST_VALUE)


def shortened(text: str, most: int) -> str:
    """
    >>> shortened("a long text", 6)
    'a lon…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


class Short:
    """A dataclass (`repr=False`) that is told in one short line, however much it holds."""

    __slots__ = ()

    def __repr__(self) -> str:
        fields = [field for field in dataclasses.fields(self) if field.repr]  # type: ignore[arg-type]
        return described(type(self).__name__, ((f.name, getattr(self, f.name)) for f in fields))
