"""DeLong's covariance of AUROCs on the same images, and the paired test of two of them.

E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845; midranks as in X. Sun,
W. Xu, IEEE Signal Processing Letters 21 (2014) 1389-1393. It takes images as independent: where
patients have several images, use the patient-grouped bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtr, ndtri

from secondread.metrics.few_patients import FEWEST_TO_RESAMPLE, newcombe_auroc, tested
from secondread.metrics.labelled_scores import Floats, as_labels, labelled_scores, labelled_seeds
from secondread.metrics.midranks import midranks


@dataclass(frozen=True)
class DeLongEstimate:
    """An AUROC, its variance, and its interval on the logit scale."""

    auroc: float
    variance: float
    low: float
    high: float


@dataclass(frozen=True)
class DeLongTest:
    """Two AUROCs on the same images. `p_value` is two-sided: 1 where the difference and its variance are 0;
    NaN with fewer than `few_patients.FEWEST` images of a label; and never below
    `few_patients.smallest_p_value`."""

    auroc: tuple[float, float]
    covariance: Floats
    z: float
    p_value: float

    @property
    def difference(self) -> float:
        return self.auroc[0] - self.auroc[1]


def delong(labels: ArrayLike, scores: ArrayLike, *, level: float = 0.95) -> DeLongEstimate:
    """AUROC with DeLong's variance. ValueError unless each class has at least two images.

    The interval is `logit(A) ± z sqrt(V) / (A (1 - A))`, turned back (M. Pepe, The Statistical Evaluation of
    Medical Tests, 2003, 5.2). Where the variance is 0, at an AUROC of 0 or 1, and with fewer than
    `few_patients.FEWEST_TO_RESAMPLE` images of a label, it reaches as far as Newcombe's too
    (`few_patients.newcombe_auroc`).
    """
    abnormal, values = labelled_scores(labels, scores)
    areas, covariance = delong_means(labels, [values[None]])
    area, variance = float(areas[0]), float(covariance[0, 0])
    low = high = area
    if variance > 0 and 0 < area < 1:
        reach = ndtri((1 + level) / 2) * np.sqrt(variance) / (area * (1 - area))
        low, high = (float(end) for end in expit(logit(area) + np.array([-reach, reach])))
    found = int(abnormal.sum()), int((~abnormal).sum())
    if low == high or min(found) < FEWEST_TO_RESAMPLE:
        least, most = newcombe_auroc(area, *found, level)
        low, high = min(low, least), max(high, most)
    return DeLongEstimate(area, variance, low, high)


def delong_test(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> DeLongTest:
    """Two-sided test of equal AUROC of two scores of the same images `[n]`, or of equal mean AUROC of two
    methods' scores `[S, n]`, a row per seed."""
    areas, covariance = delong_means(labels, [np.atleast_2d(first), np.atleast_2d(second)])
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-16:
        same = abs(difference) < 1e-12
        z = 0.0 if same else float(np.copysign(np.inf, difference))
    else:
        z = difference / float(np.sqrt(variance))
    abnormal = as_labels(labels)
    found = int(abnormal.sum()), int((~abnormal).sum())
    p_value = tested(z, float(2 * ndtr(-abs(z))), found, abnormal.size)
    return DeLongTest((float(areas[0]), float(areas[1])), covariance, z, p_value)


def delong_means(labels: ArrayLike, scores: Sequence[ArrayLike]) -> tuple[Floats, Floats]:
    """Each method's mean AUROC over its seeds, `[M]`, and the covariance of these means, `[M, M]`.

    `labels` `[n]`; `scores` one `[S_m, n]` array per method, a row per seed. With psi = 1, 1/2, 0 for
    greater, equal, less, over m abnormal images x and n normal images y,

    `V10(i) = mean_s mean_j psi(x_i, y_j)`, `V01(j) = mean_s mean_i psi(x_i, y_j)`,
    `covariance = cov(V10) / m + cov(V01) / n`.

    A mean of AUROCs is an AUROC with the mean of psi, so that the paper's theory holds for it as it stands.
    It is conditional on the fits: how other seeds would have differed is no part of it. ValueError unless
    each class has at least two images.
    """
    abnormal, methods = labelled_seeds(labels, scores)
    positives, negatives = int(abnormal.sum()), int((~abnormal).sum())
    if positives < 2 or negatives < 2:
        raise ValueError(f"{positives} abnormal and {negatives} normal images: DeLong needs two of each")
    above, below = np.empty((len(methods), positives)), np.empty((len(methods), negatives))
    for index, rows in enumerate(methods):
        overall = midranks(rows)
        higher = overall[:, abnormal] - midranks(rows[:, abnormal])
        lower = overall[:, ~abnormal] - midranks(rows[:, ~abnormal])
        above[index] = (higher / negatives).mean(axis=0)
        below[index] = (1.0 - lower / positives).mean(axis=0)
    covariance = np.atleast_2d(np.cov(above)) / positives + np.atleast_2d(np.cov(below)) / negatives
    return above.mean(axis=1), covariance
