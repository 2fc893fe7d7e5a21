"""The receiver operating characteristic: curve, area, and Youden's point as an oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from secondread.metrics.labelled_scores import Columns, Floats, labelled_scores
from secondread.metrics.midranks import midranks


@dataclass(frozen=True)
class RocCurve:
    """Points of the curve, from (0, 0) at threshold +inf to (1, 1); one point per distinct score."""

    false_positive_rate: Floats
    sensitivity: Floats
    thresholds: Floats


@dataclass(frozen=True)
class YoudenPoint:
    """An oracle: its threshold was chosen on the labels that it is judged by."""

    threshold: float
    sensitivity: float
    specificity: float

    @property
    def index(self) -> float:
        return self.sensitivity + self.specificity - 1.0


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Sensitivity `P(s >= t | abnormal)` against false-positive rate `P(s >= t | normal)`.

    `labels`, `scores` are `[n]`. ValueError where a class is missing or a score is not finite.
    """
    abnormal, values = labelled_scores(labels, scores)
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(descending)), values.size - 1)
    true_positives = np.cumsum(abnormal[order])[last_of_tie]
    false_positives = last_of_tie + 1 - true_positives
    return RocCurve(
        false_positive_rate=np.append(0.0, false_positives / (~abnormal).sum()),
        sensitivity=np.append(0.0, true_positives / abnormal.sum()),
        thresholds=np.append(np.inf, descending[last_of_tie]),
    )


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the curve, `P(s+ > s-) + P(s+ = s-) / 2` (Mann and Whitney), ties counted by half.

    ValueError where a class is missing or a score is not finite.
    """
    abnormal, values = labelled_scores(labels, scores)
    positives = int(abnormal.sum())
    negatives = abnormal.size - positives
    ranks = midranks(values)
    return float((ranks[abnormal].sum() - positives * (positives + 1) / 2) / (positives * negatives))


class WeightedAuroc:
    """AUROC of images that count by weights (>= 0): `[..., m]` weights give `[...]` areas, NaN where a row of
    them leaves one class only.

    columns  `[n]` which of the m weights is each image's, such as its patient's; none = one for each image

    It makes thousands of bootstrap repeats cheap: the scores are sorted once.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike, columns: Columns | None = None) -> None:
        abnormal, values = labelled_scores(labels, scores)
        order = np.argsort(values, kind="stable")
        normal, ill = order[~abnormal[order]], order[abnormal[order]]
        self._below, self._upto = (
            np.searchsorted(values[normal], values[ill], side) for side in ("left", "right")
        )
        self._normal, self._ill = (found if columns is None else columns[found] for found in (normal, ill))

    def __call__(self, weights: ArrayLike) -> Floats:
        given = np.asarray(weights, dtype=np.float64)
        normal = np.zeros((*given.shape[:-1], self._normal.size + 1))
        np.cumsum(given.take(self._normal, axis=-1), axis=-1, out=normal[..., 1:])
        ill = given.take(self._ill, axis=-1)
        twice_beaten = ill * (normal.take(self._below, axis=-1) + normal.take(self._upto, axis=-1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(twice_beaten.sum(-1) / 2 / (ill.sum(-1) * normal[..., -1]))


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> Floats:
    """`WeightedAuroc` of one weight for each image."""
    return WeightedAuroc(labels, scores)(weights)


def youden(labels: ArrayLike, scores: ArrayLike) -> YoudenPoint:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950); of equals the highest.

    An oracle, for comparison with papers that choose thresholds on test labels.
    """
    curve = roc_curve(labels, scores)
    best = int(np.argmax(np.round(curve.sensitivity - curve.false_positive_rate, 12)))
    return YoudenPoint(
        threshold=float(curve.thresholds[best]),
        sensitivity=float(curve.sensitivity[best]),
        specificity=float(1.0 - curve.false_positive_rate[best]),
    )


def sensitivity_at_specificity(labels: ArrayLike, scores: ArrayLike, specificity: float) -> float:
    """The largest sensitivity of any threshold whose specificity on these labels is at least `specificity`.

    It reads a point off the curve of the judged data, and so describes ranking; it promises nothing of
    a threshold chosen beforehand.
    """
    if not 0.0 <= specificity <= 1.0:
        raise ValueError(f"specificity {specificity} must lie between 0 and 1")
    curve = roc_curve(labels, scores)
    allowed = curve.false_positive_rate <= 1.0 - specificity + 1e-12
    return float(curve.sensitivity[allowed].max())


def area_to_limit(rate: Floats, height: Floats, limit: float) -> float:
    """Trapezoid area under `height` over ascending `rate` in [0, limit], divided by `limit`."""
    if not 0.0 < limit <= 1.0:
        raise ValueError(f"the limit {limit} must lie in (0, 1]")
    inside = rate <= limit
    x, y = rate[inside], height[inside]
    if x[-1] < limit:
        x, y = np.append(x, limit), np.append(y, np.interp(limit, rate, height))
    return float(np.trapezoid(y, x) / limit)
