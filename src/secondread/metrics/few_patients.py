"""What may be said from few patients: exact intervals where resampling cannot know better, and no p-value
from a handful."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FEWEST = 10
"""Patients of each label from which a difference is tested.

An exact paired test of n patients of one label, each of whom may speak for either method, cannot give less
than 2^(1 - n): 0.06 for 5, 0.002 for 10. From about this number on the normal approximation of DeLong's test
holds its level too (a simulation among the tests); below, it says whatever the few happen to be.
"""
FEWEST_TO_RESAMPLE = 30
"""Patients of each label from which resampling alone makes the interval of an area: with 10, and an AUROC of
0.97, its percentiles hold the truth in 0.64 of samples (`benchmarks/statistics/coverage.py`)."""


def patients_of_each(
    abnormal: NDArray[np.bool_], patients: NDArray[np.int64] | NDArray[np.str_]
) -> tuple[int, int]:
    """How many patients have an abnormal image, and how many a normal one."""
    return len(np.unique(patients[abnormal])), len(np.unique(patients[~abnormal]))


def smallest_p_value(patients: int) -> float:
    """`2^(1 - n)`, below which no exact paired test of n patients can go; approximations claim no less."""
    return float(2.0 ** (1 - min(patients, 1_000)))


def tested(z: float, p_value: float, of_each: tuple[int, int], patients: int) -> float:
    """The p-value that may be told of a statistic z over so many patients: 1 for no difference at all, NaN
    for a handful, and none below what an exact test could give."""
    if z == 0.0:
        return 1.0
    return float("nan") if min(of_each) < FEWEST else max(p_value, smallest_p_value(patients))


def newcombe_auroc(area: float, abnormal: int, normal: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of an AUROC that has a width at 0 and 1 too: all A with `|area - A| <= z sqrt(V(A))`,

    `V(A) = A (1 - A) (1 + N (1 - A) / (2 - A) + N A / (1 + A)) / (m n)`, `N = (m + n) / 2 - 1`,

    m and n the abnormal and normal patients. Method 5 of R. Newcombe, Statistics in Medicine 25 (2006)
    559-573, on the variance of J. Hanley, B. McNeil, Radiology 143 (1982) 29-36.
    """
    if not 0 <= area <= 1 or min(abnormal, normal) < 1:
        raise ValueError(f"an AUROC of {area} over {abnormal} and {normal} patients has no interval")
    reach, mean = float(ndtri((1 + level) / 2)), (abnormal + normal) / 2 - 1

    def beyond(at: float) -> float:
        shape = 1 + mean * (1 - at) / (2 - at) + mean * at / (1 + at)
        return (area - at) ** 2 - reach**2 * at * (1 - at) * shape / (abnormal * normal)

    low = 0.0 if area <= 0 else _root(beyond, 0.0, area)
    high = 1.0 if area >= 1 else _root(beyond, area, 1.0)
    return low, high


def difference_of_aurocs(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """Interval of a difference from each AUROC with its own: `(value, low, high)` twice, squared and added.

    It takes the two as independent, which on the same images errs on the wide side. G. Zou, A. Donner,
    Statistics in Medicine 27 (2008) 1693-1702.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    return (
        a - b - float(np.hypot(a - a_low, b_high - b)),
        a - b + float(np.hypot(a_high - a, b - b_low)),
    )


def _root(beyond: Callable[[float], float], low: float, high: float) -> float:
    """Where it changes sign, by bisection to the last bit. At an area of 0 or 1 it is 0 at that end too, and
    that end is not sought."""
    step = 1e-9
    low, high = (low, high - step) if beyond(low) > 0 else (low + step, high)
    above_at_low = beyond(low) > 0
    while low < (middle := (low + high) / 2) < high:
        if (beyond(middle) > 0) == above_at_low:
            low = middle
        else:
            high = middle
    return middle
