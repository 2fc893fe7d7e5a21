"""Precision and recall: curve, average precision, and the best F1 as an oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from secondread.metrics.labelled_scores import Columns, Floats, labelled_scores


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


class WeightedAveragePrecision:
    """Average precision of images that count by weights, as `roc.WeightedAuroc` has the AUROC."""

    def __init__(self, labels: ArrayLike, scores: ArrayLike, columns: Columns | None = None) -> None:
        abnormal, values = labelled_scores(labels, scores)
        order = np.argsort(-values, kind="stable")
        starts = np.append(0, np.flatnonzero(np.diff(values[order])) + 1)
        ill = np.flatnonzero(abnormal[order])
        # only at distinct scores that an abnormal image has is anything gained
        self._gaining, self._begins = np.unique(np.searchsorted(starts, ill, "right") - 1, return_index=True)
        self._last = np.append(starts[1:], values.size)[self._gaining] - 1
        self._distinct = starts.size
        found = (order, order[ill], np.flatnonzero(~abnormal))
        self._all, self._ill, self._normal = (one if columns is None else columns[one] for one in found)

    def __call__(self, weights: ArrayLike) -> Floats:
        given = np.asarray(weights, dtype=np.float64)
        every = np.cumsum(given.take(self._all, axis=-1), axis=-1)
        gained = np.add.reduceat(given.take(self._ill, axis=-1), self._begins, axis=-1)
        found, called = np.cumsum(gained, axis=-1), every.take(self._last, axis=-1)
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        # of all distinct scores, so that a sum is rounded as one over the whole curve is
        steps = np.zeros((*given.shape[:-1], self._distinct))
        steps[..., self._gaining] = gained * precision
        total = found[..., -1]
        defined = (total > 0) & given.take(self._normal, axis=-1).any(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(defined, steps.sum(-1) / total, np.nan)


def weighted_average_precision(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> Floats:
    """`WeightedAveragePrecision` of one weight for each image."""
    return WeightedAveragePrecision(labels, scores)(weights)


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
