"""The one check that every metric makes of its labels and scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Columns = NDArray[np.int64]
"""Which column of an array is each image's."""


def labelled_scores(
    labels: ArrayLike, scores: ArrayLike, *, both_classes: bool = True
) -> tuple[Bools, Floats]:
    """Labels as bool `[n]` (True = abnormal) and scores as float64 `[n]`.

    Raises ValueError for other shapes, labels other than 0 and 1, a score that is not finite (named
    by its index), and, where `both_classes`, for labels of one class only.
    """
    given = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if given.ndim != 1 or values.shape != given.shape:
        raise ValueError(f"labels {given.shape} and scores {values.shape} must be two vectors of one length")
    abnormal = as_labels(given)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise ValueError(f"the score at index {wrong[0]} is {values[wrong[0]]}; scores must be finite")
    if both_classes:
        require_both_classes(abnormal)
    return abnormal, values


def labelled_seeds(labels: ArrayLike, scores: Sequence[ArrayLike]) -> tuple[Bools, list[Floats]]:
    """Labels as bool `[n]`, and each method's scores as float64 `[S, n]`, one row per seed.

    Raises ValueError as `labelled_scores`, and where there is no method, or one without `[S, n]` scores.
    """
    methods = [np.asarray(rows, dtype=np.float64) for rows in scores]
    if not methods:
        raise ValueError("there is no method to judge")
    for index, rows in enumerate(methods):
        if rows.ndim != 2 or not len(rows):
            raise ValueError(
                f"scores of method {index} are {rows.shape}; one row of images per seed is needed"
            )
        for row in rows:
            labelled_scores(labels, row)
    return as_labels(labels), methods


def as_labels(labels: ArrayLike) -> Bools:
    """Labels 0/1 or bool as bool, any shape; ValueError for anything else."""
    given = np.asarray(labels)
    if given.dtype == np.bool_:
        return given
    if given.size and (given.dtype.kind not in "iuf" or not np.isin(given, (0, 1)).all()):
        raise ValueError("labels must be 0 (normal) and 1 (abnormal), or bool")
    return given.astype(np.bool_)


def require_both_classes(abnormal: Bools) -> None:
    """ValueError that says which class is missing."""
    if not abnormal.any():
        raise ValueError(f"all {abnormal.size} labels are normal: this metric needs both classes")
    if abnormal.all():
        raise ValueError(f"all {abnormal.size} labels are abnormal: this metric needs both classes")
