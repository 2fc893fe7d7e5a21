"""How sure a mean is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


def lower_bound(values: ArrayLike, level: float = 0.95) -> float:
    """The lower end of the central `level` interval of the mean, by Student's t over `values` `[n]`, which
    are independent; -inf for fewer than two of them, or where one is not finite."""
    drawn = np.asarray(values, dtype=np.float64)
    if drawn.size < 2 or not np.isfinite(drawn).all():
        return -math.inf
    reach = stdtrit(drawn.size - 1, (1 + level) / 2) * drawn.std(ddof=1) / math.sqrt(drawn.size)
    return float(drawn.mean() - reach)
