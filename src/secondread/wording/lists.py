"""Lists for a person: the first of them, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def few(names: Sequence[str], most: int = 5, of: int | None = None) -> str:
    """Names for one line of a message. `of`: how many there are, where `names` are only the first.

    >>> few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    there = len(names) if of is None else of
    more = f" and {there - most:,} more" if there > most else ""
    return ", ".join(names[:most]) + more


def first_lines(what: str, items: Sequence[object], most: int, rest: str = "") -> Iterable[str]:
    """A line for each of the first items, and one for the others. `rest`: where these are told.

    >>> list(first_lines("not read", ["a.png", "b.png", "c.png"], 1, "in readings.csv"))
    ['not read: a.png', '… and 2 more in readings.csv']
    """
    yield from (f"{what}: {item}" for item in items[:most])
    if len(items) > most:
        yield f"… and {len(items) - most:,} more{rest and ' ' + rest}"
