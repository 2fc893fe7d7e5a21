"""Online conformal p-values of numbers and of words: exactly independent and uniform while nothing drifts.

P-values of many studies against one fixed calibration set of n scores are not independent. Given the set they
are, but the share of them at or below k / (n + 1) is then a number of its own, drawn from Beta(k, n + 1 - k)
(V. Vovk, Asian Conference on Machine Learning 2012): with n = 200 a promise of 5 % may mean anything from 2.4
to 8.4 % for all studies to come. A test that took such p-values for independent uniform ones would, given
enough studies, take every calibration set's own luck for drift.

So each new study is compared with the calibration set *and with the studies before it*, and then joins them.
With the values z_1 ... z_t known, the last one new, and a draw theta_t, uniform on (0, 1),

    u_t = ( #{i <= t: a_i > a_t} + theta_t #{i <= t: a_i = a_t} ) / t,      a_i = A({z_1 ... z_t}, z_i)

where A looks at the others without regard to their order. If z_1, z_2, ... are exchangeable, the u_t are
independent and uniform on (0, 1), whatever the distribution, ties included, for every t (V. Vovk, A.
Gammerman, G. Shafer, Algorithmic Learning in a Random World, 2005, theorem 8.2). The values of the
calibration set stand first; nobody has to see their own u_t.

The price: after a change the new values join the comparison too. A change has to be found before they are as
many as those before it, and one that creeps slower than that is not seen here.
"""

from __future__ import annotations

import bisect
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

MISSING = float("-inf")
"""The number of a study that lacks it: below all others, tied with its like."""
_MOST = 4096
"""Values of one block."""


class OnlineRanks:
    """Numbers: `a_i = z_i`, so that a small u says that the value is high.

    8 bytes each are held, in ordered blocks, so that a new one moves a block and not all that are above it.
    """

    def __init__(self, reference: Iterable[float] = ()) -> None:
        ordered = array("d", sorted(map(float, reference)))
        half = _MOST // 2
        self._blocks = [ordered[at : at + half] for at in range(0, len(ordered), half)] or [ordered]
        self._lasts = [block[-1] for block in self._blocks if block]
        self._count = len(ordered)

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Iterator[float]:
        """All, the lowest first."""
        return chain.from_iterable(self._blocks)

    def add(self, value: float, theta: float) -> float:
        """u of the value, which joins the others.

        >>> ranks = OnlineRanks([1, 2, 3])
        >>> ranks.add(2.5, 0.5), ranks.add(9, 0.5)
        (0.375, 0.1)
        """
        if value != value:
            raise ValueError("a value is not a number")
        first = bisect.bisect_left(self._lasts, value)
        low = high = sum(map(len, self._blocks[:first]))
        at = None
        for number in range(first, len(self._lasts)):
            block = self._blocks[number]
            if at is None:
                at = bisect.bisect_left(block, value)
                low += at
            high += bisect.bisect_right(block, value)
            if self._lasts[number] > value:
                break
        above, tied = self._count - high, high - low + 1
        self._insert(first, at, value)
        return (above + theta * tied) / self._count

    def _insert(self, block: int, at: int | None, value: float) -> None:
        """At a place of a block; None = above all."""
        self._count += 1
        block = min(block, len(self._blocks) - 1)
        values = self._blocks[block]
        if at is None:
            values.append(value)
        else:
            values.insert(at, value)
        self._lasts[block : block + 1] = [values[-1]]
        if len(values) > _MOST:
            half = len(values) // 2
            self._blocks[block : block + 1] = [values[:half], values[half:]]
            self._lasts[block : block + 1] = [values[half - 1], values[-1]]


class OnlineWords:
    """Words without an order: `a_i` is how seldom its word is, so that a small u says that it is seldom."""

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self.counts: Counter[str] = Counter(counts or {})

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, value: str, theta: float) -> float:
        """u of the word, which joins the others.

        >>> words = OnlineWords({"PA": 97})
        >>> words.add("PA", 0.5), round(words.add("AP", 0.5), 4), round(words.add("AP", 0.5), 4)
        (0.5, 0.0051, 0.01)
        """
        self.counts[value] += 1
        own = self.counts[value]
        seldom = sum(count for count in self.counts.values() if count < own)
        tied = sum(count for count in self.counts.values() if count == own)
        return (seldom + theta * tied) / self.counts.total()
