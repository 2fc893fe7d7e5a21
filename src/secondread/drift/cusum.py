"""The chart that people know: a two-sided CUSUM, of normal scores, with a limit from its average run length.

With z_t standard normal and independent while nothing drifts (`ranks`, `evidence.normal_score`),

    S+_t = max(0, S+_{t-1} + z_t - k),      S-_t = max(0, S-_{t-1} - z_t - k),

an alarm where one of them reaches h, after which both begin at 0. k = 0.25 is meant for changes of half a
standard deviation. E. Page, Biometrika 41 (1954) 100-115.

**What is promised.** The z_t are exactly standard normal, whatever the scores' distribution, so the average
run length ARL(h) of one side follows from k and h alone (D. Brook, D. Evans, Biometrika 59 (1972) 539-549: a
Markov chain over slices of [0, h)). A side that begins at 0, its lowest state, has a time to its alarm that
is new better than used, so it has on average at most n / ARL(h) alarms in n studies (R. Barlow, F. Proschan,
Mathematical Theory of Reliability, 1965, chapter 3). h is chosen so that both sides have at most r a year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

K = 0.25
_SLICES = 120


@dataclass
class Cusum:
    """Both sums, and how many studies each has been above 0."""

    up: float = 0.0
    down: float = 0.0
    ups: int = 0
    downs: int = 0

    def take(self, z: float, limit: float) -> tuple[str, int] | None:
        """One study more: `higher` or `lower`, and how many studies ago that seems to have begun; or None."""
        self.up, self.down = max(0.0, self.up + z - K), max(0.0, self.down - z - K)
        self.ups = self.ups + 1 if self.up else 0
        self.downs = self.downs + 1 if self.down else 0
        if max(self.up, self.down) < limit:
            return None
        found = ("higher", self.ups) if self.up >= self.down else ("lower", self.downs)
        self.up = self.down = 0.0
        self.ups = self.downs = 0
        return found


def run_length(limit: float) -> float:
    """ARL of one side: the mean number of studies to its false alarm.

    >>> round(run_length(8.01))  # 370 for both sides: W. Woodall, B. Adams, Quality Engineering 5 (1993)
    740
    """
    import numpy as np
    from scipy.special import ndtr

    width = 2 * limit / (2 * _SLICES - 1)  # the first slice lies about 0, half of it at 0
    centres = np.arange(_SLICES) * width
    step = centres[None, :] - centres[:, None] + K
    moves = ndtr(step + width / 2) - ndtr(step - width / 2)
    moves[:, 0] = ndtr(step[:, 0] + width / 2)
    return float(np.linalg.solve(np.eye(_SLICES) - moves, np.ones(_SLICES))[0])


def limit_for(per_year: float, studies_per_year: float) -> float:
    """h with which both sides have at most `per_year` false alarms in so many studies.

    The number of studies is rounded up to the next quarter of a power of two, so that a limit does not move
    with every study.
    """
    if not (per_year > 0 and studies_per_year > 0):
        raise ValueError(f"{per_year} false alarms among {studies_per_year} studies a year is no promise")
    return _limit(math.ceil(4 * math.log2(max(2 * studies_per_year / per_year, 2))) / 4)


@lru_cache(maxsize=256)
def _limit(log2_length: float) -> float:
    wanted, low, high = 2**log2_length, 0.0, 100.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if run_length(middle) < wanted else (low, middle)
    return high
