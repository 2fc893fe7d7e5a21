"""What a conformal threshold gives: how far the rate of false alarms may lie from the one that was asked
for."""

from __future__ import annotations

import math


def patients_needed(rate: float) -> int:
    """The fewest calibration patients with which anything can be flagged: `ceil(1 / rate) - 1`."""
    return math.ceil(1.0 / rate - 1e-9) - 1


def realised_range(rate: float, patients: int, level: float = 0.95) -> tuple[float, float] | None:
    """The central `level` of the rate among new normals, over calibration sets of so many patients.

    With k = floor(rate (n + 1)) of n patients the realised rate follows Beta(k, n + 1 - k): exact for one
    image per patient and no ties, approximate otherwise. None where nothing can be flagged. V. Vovk, Asian
    Conference on Machine Learning 2012, proposition 2.

    >>> low, high = realised_range(0.05, 99)
    >>> round(low, 3), round(high, 3)
    (0.017, 0.1)
    """
    flagged = math.floor(rate * (patients + 1) + 1e-9)
    if flagged == 0:
        return None
    low, high = (_quantile(flagged, patients, tail) for tail in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def _quantile(k: int, n: int, tail: float) -> float:
    """x with P(Beta(k, n + 1 − k) ≤ x) = `tail`, which is P(Binomial(n, x) ≥ k): Newton's steps, halved where
    they would leave the bracket. scipy, which would do, takes longer to import than a film to read."""
    low, high, x = 0.0, 1.0, k / (n + 1)
    for _ in range(200):
        above, density = _at_least(k, n, x)
        low, high = (x, high) if above < tail else (low, x)
        following = x - (above - tail) / density if density > 0 else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= 1e-15 * x:
            break
        x = following
    return following


def _at_least(k: int, n: int, x: float) -> tuple[float, float]:
    """P(Binomial(n, x) ≥ k), and its derivative by x. Terms are summed from the larger one on, on the side of
    k where they fall. Right to 1e-7 for ten million, where `lgamma` has lost that much."""
    odds = x / (1 - x)
    term = math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
                    + k * math.log(x) + (n - k) * math.log1p(-x))  # fmt: skip
    density = term * k / x
    if k >= n * x:
        total, count = 0.0, k
        while term > 1e-18 * total and count <= n:
            total += term
            term *= (n - count) / (count + 1) * odds
            count += 1
        return total, density
    total, count = 0.0, k
    while count > 0:
        term *= count / (n - count + 1) / odds
        count -= 1
        if term <= 1e-18 * total:
            break
        total += term
    return 1.0 - total, density
