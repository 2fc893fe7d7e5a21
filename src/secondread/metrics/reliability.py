"""Whether a probability means what it says: reliability per bin, and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.metrics.labelled_scores import Floats, labelled_scores


@dataclass(frozen=True)
class Reliability:
    """Bins of equal width over [0, 1], in order. Means are NaN where a bin is empty.

    edges            `[bins + 1]`, 0 to 1; bin b holds edges[b] < p <= edges[b + 1], the first also p = 0
    count            `[bins]` cases
    probability      `[bins]` mean of the probabilities
    share_positive   `[bins]` share of positive cases, which a calibrated probability equals
    """

    edges: Floats
    count: NDArray[np.int64]
    probability: Floats
    share_positive: Floats


def reliability(probability: ArrayLike, positive: ArrayLike, bins: int = 15) -> Reliability:
    """What a reliability diagram shows, of `[n]` probabilities of the positive class and 0/1 labels.

    ValueError where `bins` < 1, there is no case, or a probability lies outside [0, 1].
    """
    labels, p = _checked(probability, positive, bins)
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            edges=edges,
            count=count.astype(np.int64),
            probability=np.bincount(which, weights=p, minlength=bins) / count,
            share_positive=np.bincount(which, weights=labels.astype(np.float64), minlength=bins) / count,
        )


def expected_calibration_error(probability: ArrayLike, positive: ArrayLike, bins: int = 15) -> float:
    """`ECE = sum_b n_b / n * |share of positives in b - mean probability in b|`, in [0, 1].

    The definition of C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On Calibration of Modern Neural Networks,
    ICML 2017, for the probability of one class: bins of equal width over [0, 1]. (Their own table bins the
    confidence in the predicted class, which tells less: it hides errors that cancel between the two
    classes.) For calibrated probabilities ECE is 0 only in the limit: with n cases, spread evenly, chance
    leaves about `sqrt(bins / n) / 3`. ValueError as `reliability`.
    """
    found = reliability(probability, positive, bins)
    filled = found.count > 0
    gap = np.abs(found.share_positive[filled] - found.probability[filled])
    return float(np.sum(found.count[filled] * gap) / found.count.sum())


def _checked(probability: ArrayLike, positive: ArrayLike, bins: int) -> tuple[NDArray[np.bool_], Floats]:
    labels, p = labelled_scores(positive, probability, both_classes=False)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    if not p.size:
        raise ValueError("there is no probability to judge")
    outside = np.flatnonzero((p < 0) | (p > 1))
    if outside.size:
        raise ValueError(f"the probability at index {outside[0]} is {p[outside[0]]}; it must lie in [0, 1]")
    return labels, p
