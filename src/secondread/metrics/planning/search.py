"""The smallest number that is enough."""

from __future__ import annotations

from collections.abc import Callable

MOST = 10_000_000
"""Patients beyond which no study is planned."""


def smallest(enough: Callable[[int], bool], start: int = 2) -> int:
    """The smallest n from `start` on that is enough, where more are enough too. ValueError where none up to
    `MOST` is."""
    low, high = start - 1, start
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            raise ValueError(f"more than {MOST:,} patients would be needed")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
