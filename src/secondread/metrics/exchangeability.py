"""Whether new normals could be further calibration normals: what every conformal promise rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import kolmogorov

from secondread.metrics.labelled_scores import Floats


@dataclass(frozen=True)
class Exchangeability:
    """How new normals' scores lie among those of calibration normals.

    distance  the largest difference of their two distributions, in [0, 1]: as large as the largest distance
              of the new normals' p-values from the uniform distribution
    p_value   of a distance as large, were they exchangeable (Kolmogorov and Smirnov, two samples)
    higher    the share of pairs in which the new normal scores higher; 0.5 where nothing has shifted
    patients  of the calibration normals, and of the new ones
    """

    distance: float
    p_value: float
    higher: float
    patients: tuple[int, int]


def exchangeability(
    calibration: ArrayLike, new: ArrayLike, *, calibration_weights: ArrayLike, new_weights: ArrayLike
) -> Exchangeability:
    """Compare scores `[n]` and `[m]`, whose weights add up to 1 for each patient.

    P-values among calibration normals are uniform where new normals are exchangeable with these; their
    distance from uniform is that of the two samples, which takes into account that the calibration set is
    finite. With one image for each patient the p-value is exact; else it is the asymptotic one of as many
    images as there are patients. ValueError where one of them is empty or a score is not finite.

    >>> rng = np.random.default_rng(0)
    >>> here, there = rng.normal(size=80), rng.normal(1, 1, 60)
    >>> found = exchangeability(
    ...     here, there, calibration_weights=np.ones(80), new_weights=np.ones(60)
    ... )
    >>> found.p_value < 0.001, round(found.higher, 1)
    (True, 0.8)
    """
    first, second = np.asarray(calibration, np.float64), np.asarray(new, np.float64)
    one, other = np.asarray(calibration_weights, np.float64), np.asarray(new_weights, np.float64)
    if not first.size or not second.size:
        raise ValueError("there are no scores to compare")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("scores must be finite")
    patients = (round(float(one.sum())), round(float(other.sum())))
    grid = np.unique(np.concatenate([first, second]))
    distance = float(np.abs(_share_up_to(grid, first, one) - _share_up_to(grid, second, other)).max())
    if patients == (first.size, second.size):
        from scipy.stats import ks_2samp  # takes a second to import

        p_value = float(ks_2samp(first, second).pvalue)
    else:
        size = patients[0] * patients[1] / (patients[0] + patients[1])
        p_value = float(kolmogorov(distance * math.sqrt(size)))
    below = np.searchsorted(np.sort(first), second, side="left")
    up_to = np.searchsorted(np.sort(first), second, side="right")
    cumulated = np.append(0.0, np.cumsum(one[np.argsort(first, kind="stable")])) / one.sum()
    higher = float(np.average((cumulated[below] + cumulated[up_to]) / 2, weights=other))
    return Exchangeability(distance, min(p_value, 1.0), higher, patients)


def _share_up_to(grid: Floats, values: Floats, weights: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    cumulated = np.append(0.0, np.cumsum(weights[order])) / weights.sum()
    return np.asarray(cumulated[np.searchsorted(values[order], grid, side="right")])
