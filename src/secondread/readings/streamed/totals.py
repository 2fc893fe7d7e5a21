"""What a run tells at its end of all readings, added one after the other."""

from __future__ import annotations

import heapq

from secondread.readings.reading import Reading

HIGHEST = 3
"""How many of the highest scores a run names at its end."""


class Totals:
    """How many images there are, those without a score with the reason, and those with the highest scores,
    equal ones in the order of their paths."""

    def __init__(self) -> None:
        self.images = self._judged = self._flagged = 0
        self.failed: list[tuple[str, str]] = []
        self.highest: list[Reading] = []

    def add(self, reading: Reading) -> None:
        self.images += 1
        self._judged += reading.flagged is not None
        self._flagged += reading.flagged is True
        if reading.failed:
            self.failed.append((reading.path, reading.error))
        elif len(self.highest) < HIGHEST or _falling(reading) < _falling(self.highest[-1]):
            self.highest = heapq.nsmallest(HIGHEST, [*self.highest, reading], key=_falling)

    @property
    def flagged(self) -> int | None:
        """How many are flagged; None where none was judged."""
        return self._flagged if self._judged else None


def _falling(reading: Reading) -> tuple[float, str]:
    return -(reading.score or 0.0), reading.path
