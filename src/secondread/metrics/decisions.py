"""What a decision rule is worth: the confusion table and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from secondread.metrics.labelled_scores import Floats, as_labels, labelled_scores


@dataclass(frozen=True)
class Decisions:
    """A confusion table. A share of nothing (precision where nothing was flagged) is NaN."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def sensitivity(self) -> float:
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        return _share(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precision(self) -> float:
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def f1(self) -> float:
        """`2 TP / (2 TP + FP + FN)`: 0 where there are abnormal images and none was found."""
        twice = 2 * self.true_positives
        return _share(twice, twice + self.false_positives + self.false_negatives)

    @property
    def accuracy(self) -> float:
        right = self.true_positives + self.true_negatives
        return _share(right, right + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class PredictiveValues:
    """What a flag, or its absence, means where `prevalence` of the images are abnormal."""

    prevalence: float
    positive: float
    negative: float


def decide(labels: ArrayLike, flagged: ArrayLike) -> Decisions:
    """The table of labels against flags, both `[n]`, 0/1 or bool. One class alone is allowed."""
    abnormal, flags = as_labels(labels), as_labels(flagged)
    if abnormal.ndim != 1 or abnormal.shape != flags.shape:
        raise ValueError(f"labels {abnormal.shape} and flags {flags.shape} must be two vectors of one length")
    return Decisions(
        true_positives=int((abnormal & flags).sum()),
        false_positives=int((~abnormal & flags).sum()),
        true_negatives=int((~abnormal & ~flags).sum()),
        false_negatives=int((abnormal & ~flags).sum()),
    )


def at_threshold(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Decisions:
    """The table where every score at or above `threshold` is flagged."""
    abnormal, values = labelled_scores(labels, scores, both_classes=False)
    return decide(abnormal, values >= threshold)


def flag_everything_f1(labels: ArrayLike) -> float:
    """F1 of flagging every image, `2 q / (1 + q)` with q the share of abnormal images."""
    abnormal = as_labels(labels)
    return decide(abnormal, np.ones_like(abnormal)).f1


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> PredictiveValues:
    """Positive and negative predictive value at a stated prevalence, by Bayes' rule.

    `PPV = se q / (se q + (1 - sp)(1 - q))`, `NPV = sp (1 - q) / (sp (1 - q) + (1 - se) q)`.
    """
    if not 0.0 <= prevalence <= 1.0:
        raise ValueError(f"prevalence {prevalence} must lie between 0 and 1")
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    passed, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    return PredictiveValues(prevalence, _share(found, found + alarmed), _share(passed, passed + missed))


def weighted_decisions(labels: ArrayLike, flagged: ArrayLike, weights: ArrayLike) -> dict[str, Floats]:
    """Sensitivity, specificity, precision, f1, accuracy of images that count `weights` times.

    `weights` `[..., n]` give `[...]` under each name; a share of nothing is NaN. For bootstraps.
    """
    abnormal, flags = as_labels(labels), as_labels(flagged)
    counts = np.asarray(weights, dtype=np.float64)
    tp = (counts * (abnormal & flags)).sum(-1)
    fp = (counts * (~abnormal & flags)).sum(-1)
    tn = (counts * (~abnormal & ~flags)).sum(-1)
    fn = (counts * (abnormal & ~flags)).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "precision": tp / (tp + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "accuracy": (tp + tn) / (tp + fp + tn + fn),
        }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
