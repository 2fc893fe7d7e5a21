"""DeLong's variance of the AUROC and the paired test of two AUROCs on the same images.

E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845; midranks as in X. Sun,
W. Xu, IEEE Signal Processing Letters 21 (2014) 1389-1393. It takes images as independent: where
patients have several images, use the patient-grouped bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from secondread.metrics.labelled_scores import Bools, Floats, labelled_scores


@dataclass(frozen=True)
class DeLongEstimate:
    """An AUROC, its variance, and the normal interval clipped to [0, 1]."""

    auroc: float
    variance: float
    low: float
    high: float


@dataclass(frozen=True)
class DeLongTest:
    """Two AUROCs on the same images. `p_value` is two-sided; 1 where the difference and its variance
    are 0, and 0 where only the variance is."""

    auroc: tuple[float, float]
    covariance: Floats
    z: float
    p_value: float

    @property
    def difference(self) -> float:
        return self.auroc[0] - self.auroc[1]


def delong(labels: ArrayLike, scores: ArrayLike, *, level: float = 0.95) -> DeLongEstimate:
    """AUROC with DeLong's variance. ValueError unless each class has at least two images."""
    abnormal, values = labelled_scores(labels, scores)
    areas, covariance = _areas(abnormal, values[None])
    area, variance = float(areas[0]), float(covariance[0, 0])
    reach = norm.ppf((1 + level) / 2) * np.sqrt(variance)
    return DeLongEstimate(area, variance, max(0.0, float(area - reach)), min(1.0, float(area + reach)))


def delong_test(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> DeLongTest:
    """Two-sided test of equal AUROC of two scores of the same images `[n]`."""
    abnormal, a = labelled_scores(labels, first)
    _, b = labelled_scores(labels, second)
    areas, covariance = _areas(abnormal, np.stack([a, b]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-16:
        same = abs(difference) < 1e-12
        z = 0.0 if same else float(np.copysign(np.inf, difference))
    else:
        z = difference / float(np.sqrt(variance))
    return DeLongTest((float(areas[0]), float(areas[1])), covariance, z, float(2 * norm.sf(abs(z))))


def _areas(abnormal: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """AUROCs `[k]` and their covariance `[k, k]` of `[k, n]` scores.

    `V10(i) = mean_j psi(x_i, y_j)` over normals j, `V01(j)` over abnormals i, psi = 1, 1/2, 0 for
    greater, equal, less; `S = cov(V10) / m + cov(V01) / n`.
    """
    positives, negatives = int(abnormal.sum()), int((~abnormal).sum())
    if positives < 2 or negatives < 2:
        raise ValueError(f"{positives} abnormal and {negatives} normal images: DeLong needs two of each")
    overall = rankdata(scores, axis=1)
    above = (overall[:, abnormal] - rankdata(scores[:, abnormal], axis=1)) / negatives
    below = 1.0 - (overall[:, ~abnormal] - rankdata(scores[:, ~abnormal], axis=1)) / positives
    covariance = np.atleast_2d(np.cov(above)) / positives + np.atleast_2d(np.cov(below)) / negatives
    return above.mean(axis=1), covariance
