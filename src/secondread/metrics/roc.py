"""The receiver operating characteristic: curve, area, and Youden's point as an oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from secondread.metrics.labelled_scores import Floats, labelled_scores
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


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> Floats:
    """AUROC of images that count `weights` times: `[..., n]` weights (>= 0) give `[...]` areas.

    NaN where a row of weights leaves one class only. It makes thousands of bootstrap repeats cheap:
    the scores are sorted once.
    """
    abnormal, values = labelled_scores(labels, scores)
    order = np.argsort(values, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(values[order])) + 1)
    sorted_weights = np.asarray(weights, dtype=np.float64)[..., order]
    positive = np.add.reduceat(sorted_weights * abnormal[order], starts, axis=-1)
    negative = np.add.reduceat(sorted_weights * ~abnormal[order], starts, axis=-1)
    below = np.cumsum(negative, axis=-1) - negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positive * below).sum(-1) / (positive.sum(-1) * negative.sum(-1)))


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
