"""Rank correlation, and Holm's correction for several tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from secondread.metrics.labelled_scores import Floats
from secondread.metrics.midranks import midranks


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho and its two-sided p-value of no association, by Student's t (n - 2 degrees)."""

    rho: float
    p_value: float
    n: int


def spearman(first: ArrayLike, second: ArrayLike) -> RankCorrelation:
    """Correlation of the ranks of two `[n]` vectors, ties as mid-ranks.

    ValueError for fewer than 3 values, a value that is not finite, or a constant vector.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size < 3:
        raise ValueError(f"two vectors of one length of at least 3 are needed, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a rank correlation needs finite values")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise ValueError("a constant has no rank correlation")
    rho = float(np.corrcoef(midranks(a), midranks(b))[0, 1])
    freedom = a.size - 2
    rest = max(0.0, (1 - rho) * (1 + rho))
    p_value = 0.0 if rest == 0 else float(2 * stdtr(freedom, -abs(rho) * math.sqrt(freedom / rest)))
    return RankCorrelation(rho, p_value, a.size)


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values `max_{j <= i} min(1, (m - j + 1) p_(j))` in the given order (Holm 1979).

    Rejecting those at or below a level keeps the chance of any false rejection at that level. A test without
    a p-value (NaN) stays without one, and m does not count it.
    """
    every = np.asarray(p_values, dtype=np.float64)
    told = ~np.isnan(every)
    given = every[told]
    if every.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError("p-values must be a vector of numbers between 0 and 1, or NaN")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(np.minimum(1.0, given[order] * np.arange(given.size, 0, -1)))
    adjusted = np.full_like(every, np.nan)
    adjusted[np.flatnonzero(told)[order]] = stepped
    return adjusted
