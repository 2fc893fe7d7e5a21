"""Lists for a person: the first of them, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MOST = 5
"""Names that are held of many."""


def few(names: Sequence[str], most: int = 5, of: int | None = None) -> str:
    """Names for one line of a message. `of`: how many there are, where `names` are only the first.

    >>> few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    there = len(names) if of is None else of
    more = f" and {there - most:,} more" if there > most else ""
    return ", ".join(names[:most]) + more


@dataclass
class Counted:
    """How many names there are, of which only the first are held.

    >>> found = Counted()
    >>> for number in range(7):
    ...     found.add(f"{number}.png")
    >>> found.few(2)
    '0.png, 1.png and 5 more'
    """

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.first) < MOST:
            self.first.append(name)

    def few(self, most: int = MOST) -> str:
        """The first names for one line of a message."""
        return few(self.first, most, of=self.count)


def first_lines(what: str, items: Sequence[object], most: int, rest: str = "") -> Iterable[str]:
    """A line for each of the first items, and one for the others. `rest`: where these are told.

    >>> list(first_lines("not read", ["a.png", "b.png", "c.png"], 1, "in readings.csv"))
    ['not read: a.png', '… and 2 more in readings.csv']
    """
    yield from (f"{what}: {item}" for item in items[:most])
    if len(items) > most:
        yield f"… and {len(items) - most:,} more{rest and ' ' + rest}"
