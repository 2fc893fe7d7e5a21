"""Precision and recall: curve, average precision, and the best F1 as an oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from secondread.metrics.labelled_scores import Floats, labelled_scores


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """One point per distinct score, from the highest threshold (recall near 0) to the lowest (recall 1)."""

    recall: Floats
    precision: Floats
    thresholds: Floats


@dataclass(frozen=True)
class BestF1:
    """An oracle: its threshold was chosen on the labels that it is judged by."""

    threshold: float
    f1: float
    precision: float
    recall: float


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Precision `P(abnormal | s >= t)` and recall `P(s >= t | abnormal)` of `[n]` labels and scores.

    ValueError where a class is missing or a score is not finite.
    """
    abnormal, values = labelled_scores(labels, scores)
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(descending)), values.size - 1)
    true_positives = np.cumsum(abnormal[order])[last_of_tie]
    return PrecisionRecallCurve(
        recall=true_positives / abnormal.sum(),
        precision=true_positives / (last_of_tie + 1),
        thresholds=descending[last_of_tie],
    )


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """`sum_k (R_k - R_{k-1}) P_k` over distinct scores, without interpolation. A random order gives
    about the share of abnormal images."""
    curve = precision_recall_curve(labels, scores)
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))


def weighted_average_precision(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> Floats:
    """Average precision of images that count `weights` times: `[..., n]` (>= 0) to `[...]`.

    NaN where a row of weights leaves one class only.
    """
    abnormal, values = labelled_scores(labels, scores)
    order = np.argsort(-values, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(values[order])) + 1)
    sorted_weights = np.asarray(weights, dtype=np.float64)[..., order]
    gained = np.add.reduceat(sorted_weights * abnormal[order], starts, axis=-1)
    called = np.cumsum(np.add.reduceat(sorted_weights, starts, axis=-1), axis=-1)
    found = np.cumsum(gained, axis=-1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    total = found[..., -1]
    defined = (total > 0) & (called[..., -1] > total)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(defined, (gained * precision).sum(-1) / total, np.nan)


def best_f1(labels: ArrayLike, scores: ArrayLike) -> BestF1:
    """The threshold with the largest F1; of equals the highest. An oracle, never a decision rule."""
    curve = precision_recall_curve(labels, scores)
    total = curve.precision + curve.recall
    f1 = np.divide(2 * curve.precision * curve.recall, total, out=np.zeros_like(total), where=total > 0)
    best = int(np.argmax(np.round(f1, 12)))
    return BestF1(
        threshold=float(curve.thresholds[best]),
        f1=float(f1[best]),
        precision=float(curve.precision[best]),
        recall=float(curve.recall[best]),
    )
