"""What a decision rule is worth: the confusion table and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.metrics.labelled_scores import as_labels, labelled_scores
from secondread.metrics.patients import Patients, patient_numbers
from secondread.metrics.shares import share_interval

Pair = tuple[float, float]


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


def decision_intervals(
    labels: ArrayLike,
    flagged: ArrayLike,
    patients: Patients | None = None,
    *,
    level: float = 0.95,
) -> dict[str, Pair | None]:
    """Intervals of sensitivity, specificity, precision, f1 and accuracy of fixed flags (`share_interval`).

    F1 is `2 J / (1 + J)` with J the share of true positives among all but true negatives, and so is its
    interval. None for a share of nothing (precision where nothing is flagged).
    """
    abnormal, flags = as_labels(labels), as_labels(flagged)
    whose = np.arange(abnormal.size) if patients is None else patient_numbers(patients)
    if len(whose) != abnormal.size:
        raise ValueError(f"{len(whose)} patients are given for {abnormal.size} images")
    right = abnormal == flags

    def among(which: NDArray[np.bool_]) -> Pair | None:
        return share_interval(right[which], whose[which], level=level) if which.any() else None

    overlap = among(abnormal | flags)
    return {
        "sensitivity": among(abnormal),
        "specificity": among(~abnormal),
        "precision": among(flags),
        "f1": None if overlap is None else (f1_of(overlap[0]), f1_of(overlap[1])),
        "accuracy": among(np.ones_like(abnormal)),
    }


def f1_of(overlap: float) -> float:
    """F1 from the share of true positives among all but true negatives (their Jaccard index)."""
    return 2 * overlap / (1 + overlap)


def predictive_intervals(
    sensitivity: tuple[float, Pair], specificity: tuple[float, Pair], prevalence: float
) -> tuple[Pair, Pair]:
    """Intervals of the positive and the negative predictive value at a stated prevalence q.

    `PPV = 1 / (1 + (1 - q) / (q LR+))` with `LR+ = se / (1 - sp)`, and NPV likewise of `sp / (1 - se)`; each
    ratio's interval is made from its two shares, given with theirs, by the closed form of A. Donner, G. Zou,
    Statistical Methods in Medical Research 21 (2012) 347-359, which stays in range at shares of 0 and 1.
    """
    (se, (se_low, se_high)), (sp, (sp_low, sp_high)) = sensitivity, specificity
    positive = _ratio((se, se_low, se_high), (1 - sp, 1 - sp_high, 1 - sp_low))
    negative = _ratio((sp, sp_low, sp_high), (1 - se, 1 - se_high, 1 - se_low))
    odds = prevalence / (1 - prevalence)
    return (
        (_of_odds(odds * positive[0]), _of_odds(odds * positive[1])),
        (_of_odds(negative[0] / odds), _of_odds(negative[1] / odds)),
    )


def _of_odds(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)


def _ratio(above: tuple[float, float, float], below: tuple[float, float, float]) -> Pair:
    """Interval of a quotient of two independent shares, each `(value, low, high)`."""
    (a, a_low, a_high), (b, b_low, b_high) = above, below
    least, most = a_low * (2 * a - a_low), a_high * (2 * a - a_high)
    under = a * b + math.sqrt(max((a * b) ** 2 - least * b_high * (2 * b - b_high), 0.0))
    over = b_low * (2 * b - b_low)
    top = a * b + math.sqrt(max((a * b) ** 2 - most * over, 0.0))
    return (least / under if under > 0 else 0.0, top / over if over > 0 else math.inf)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
