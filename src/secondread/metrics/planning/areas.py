"""How many patients an AUROC needs, for an interval so narrow or to find a difference so small."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from secondread.metrics.few_patients import FEWEST_TO_RESAMPLE, newcombe_auroc
from secondread.metrics.planning.search import smallest


def auroc_variance(area: float, abnormal: int, normal: int) -> float:
    """Of an AUROC of so many patients, each with one image.

    `A (1 - A) (1 + N (1 - A) / (2 - A) + N A / (1 + A)) / (m n)`, `N = (m + n) / 2 - 1`: J. Hanley, B.
    McNeil, Radiology 143 (1982) 29-36, in the form of R. Newcombe, Statistics in Medicine 25 (2006) 559-573,
    which treats both labels alike.
    """
    _check(area)
    mean = (abnormal + normal) / 2 - 1
    shape = 1 + mean * (1 - area) / (2 - area) + mean * area / (1 + area)
    return area * (1 - area) * shape / (abnormal * normal)


def expected_auroc_interval(
    area: float, abnormal: int, normal: int, level: float = 0.95
) -> tuple[float, float]:
    """The interval that an AUROC of `area` will have, made as `bootstrap.auroc_interval` makes it.

    >>> low, high = expected_auroc_interval(0.85, 100, 100)
    >>> round(low, 2), round(high, 2)
    (0.79, 0.9)
    """
    reach = ndtri((1 + level) / 2) * math.sqrt(auroc_variance(area, abnormal, normal))
    low, high = (float(end) for end in expit(logit(area) + np.array([-1, 1]) * reach / (area * (1 - area))))
    if min(abnormal, normal) < FEWEST_TO_RESAMPLE:
        least, most = newcombe_auroc(area, abnormal, normal, level)
        return min(low, least), max(high, most)
    return low, high


def patients_for_auroc(
    area: float, width: float, prevalence: float = 0.5, level: float = 0.95
) -> tuple[int, int]:
    """The fewest abnormal and normal patients, of which a share `prevalence` is abnormal, whose expected
    interval is at most `width` from end to end. ValueError for a width outside (0, 1).

    >>> patients_for_auroc(0.85, 0.1)
    (118, 118)
    """
    _check(area)
    if not 0 < width < 1:
        raise ValueError(f"a width of {width} does not lie between 0 and 1")

    def enough(patients: int) -> bool:
        low, high = expected_auroc_interval(area, *of_each(patients, prevalence), level)
        return high - low <= width

    return of_each(smallest(enough), prevalence)


def of_each(patients: int, prevalence: float) -> tuple[int, int]:
    """Abnormal and normal ones among so many, one of each at least."""
    if not 0 < prevalence < 1:
        raise ValueError(f"a prevalence of {prevalence} does not lie between 0 and 1")
    abnormal = min(max(round(patients * prevalence), 1), patients - 1)
    return abnormal, patients - abnormal


def power_of_difference(
    first: float,
    second: float,
    abnormal: int,
    normal: int,
    *,
    correlation: float = 0.5,
    level: float = 0.95,
) -> float:
    """The chance that a two-sided test of two AUROCs on the same patients finds them different.

    `Phi((|A1 - A2| - z sqrt(V0)) / sqrt(V))` with `V = V1 + V2 - 2 r sqrt(V1 V2)`, and V0 the same where both
    are the one nearer to chance, as in Hanley's and McNeil's table (1982); r is the correlation of the two
    AUROCs, about that of the scores (J. Hanley, B. McNeil, Radiology 148 (1983) 839-843), and 0 on different
    patients.
    """
    if not 0 <= correlation < 1:
        raise ValueError(f"a correlation of {correlation} does not lie from 0 to below 1")
    _check(first)
    _check(second)

    def variance(one: float, other: float) -> float:
        a, b = auroc_variance(one, abnormal, normal), auroc_variance(other, abnormal, normal)
        return a + b - 2 * correlation * math.sqrt(a * b)

    nearer = min(first, second, key=lambda area: abs(area - 0.5))
    reach = ndtri((1 + level) / 2) * math.sqrt(variance(nearer, nearer))
    return float(ndtr((abs(first - second) - reach) / math.sqrt(variance(first, second))))


def patients_for_difference(
    first: float,
    second: float,
    *,
    correlation: float = 0.5,
    power: float = 0.8,
    prevalence: float = 0.5,
    level: float = 0.95,
) -> tuple[int, int]:
    """The fewest abnormal and normal patients that find two AUROCs different with that chance.

    >>> patients_for_difference(0.80, 0.85, correlation=0.5)
    (298, 297)
    """
    if first == second:
        raise ValueError("two equal AUROCs differ by nothing that a test could find")
    if not 0 < power < 1:
        raise ValueError(f"a power of {power} does not lie between 0 and 1")

    def enough(patients: int) -> bool:
        sizes = of_each(patients, prevalence)
        found = power_of_difference(first, second, *sizes, correlation=correlation, level=level)
        return found >= power

    return of_each(smallest(enough), prevalence)


def _check(area: float) -> None:
    if not 0 < area < 1:
        raise ValueError(f"an AUROC of {area} does not lie between 0 and 1")
