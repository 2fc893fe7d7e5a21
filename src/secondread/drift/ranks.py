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
from collections import Counter
from collections.abc import Iterable

MISSING = float("-inf")
"""The number of a study that lacks it: below all others, tied with its like."""


class OnlineRanks:
    """Numbers: `a_i = z_i`, so that a small u says that the value is high."""

    def __init__(self, reference: Iterable[float] = ()) -> None:
        self.values = sorted(map(float, reference))

    def __len__(self) -> int:
        return len(self.values)

    def add(self, value: float, theta: float) -> float:
        """u of the value, which joins the others.

        >>> ranks = OnlineRanks([1, 2, 3])
        >>> ranks.add(2.5, 0.5), ranks.add(9, 0.5)
        (0.375, 0.1)
        """
        if value != value:
            raise ValueError("a value is not a number")
        low = bisect.bisect_left(self.values, value)
        high = bisect.bisect_right(self.values, value, lo=low)
        above, tied = len(self.values) - high, high - low + 1
        self.values.insert(low, value)
        return (above + theta * tied) / len(self.values)


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
