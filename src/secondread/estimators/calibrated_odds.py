"""Log odds of two classes made to mean what they say, from unlabelled cases of a known rate and no label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

Floats = NDArray[np.float64]
SLOPES = (1e-3, 1e2)
"""Between which the slope is sought, as multiples of the inverse of the odds' spread."""
STEPS = 60


def calibrated_line(normal: Floats, unlabelled: Floats, rate: float) -> tuple[float, float]:
    """a > 0 and b, by which sigmoid(a o + b) is the probability that an unlabelled case with log odds o is
    abnormal.

    b is such that the mean probability of the unlabelled cases, `[m]`, is `rate`, and a minimises their Brier
    score, up to a constant,

        E_u (1 - p)² + (1 - rate) E_n (2 p - 1)

    which with normals `[n]`, cases whose class is known, is estimated without bias and without a label among
    the unlabelled: of them (1 - rate) are distributed as the normals are. The log loss can be estimated in
    the same way, but falls without bound where the normals' odds happen to be lower. The order of cases
    stays.

    ValueError where odds are not finite, there are none of a kind, or the rate is not within 0 and 1.

    Sources: M. du Plessis, G. Niu, M. Sugiyama, Convex formulation for learning from positive and unlabeled
    data, ICML 2015 (the risk without labels); J. Platt, Probabilistic outputs for support vector machines,
    1999 (the line).
    """
    if not (0 < rate < 1 and len(normal) and len(unlabelled)):
        raise ValueError("odds are calibrated on normals and unlabelled cases, with a rate between 0 and 1")
    if not (np.isfinite(normal).all() and np.isfinite(unlabelled).all()):
        raise ValueError("odds that are not finite cannot be calibrated")
    spread = max(float(np.std(unlabelled)), float(np.abs(unlabelled - np.median(unlabelled)).mean()), 1e-9)

    def shift(slope: float) -> float:
        scaled = slope * unlabelled
        least = -scaled.max() - 40, -scaled.min() + 40
        return float(brentq(lambda b: expit(scaled + b).mean() - rate, *least))

    def risk(slope: float) -> float:
        b = shift(slope)
        known = (1 - rate) * (2 * expit(slope * normal + b) - 1).mean()
        return float(np.square(1 - expit(slope * unlabelled + b)).mean() + known)

    slopes = np.geomspace(*SLOPES, STEPS) / spread
    best = int(np.argmin([risk(slope) for slope in slopes]))
    within = np.geomspace(slopes[max(best - 1, 0)], slopes[min(best + 1, STEPS - 1)], STEPS)
    slope = float(within[np.argmin([risk(slope) for slope in within])])
    return slope, shift(slope)
