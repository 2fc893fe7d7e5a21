"""Ranks where equal values share the mean of theirs, without scipy.stats, which takes a second to import."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from secondread.metrics.labelled_scores import Floats


def midranks(values: ArrayLike) -> Floats:
    """Ranks from 1 along the last axis of `[..., n]` values, ties at the mean of the ranks that they take up.

    ValueError for a value that is not a number.

    >>> midranks([0.3, 0.1, 0.3, 0.9]).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    given = np.asarray(values, dtype=np.float64)
    if np.isnan(given).any():
        raise ValueError("a value that is not a number has no rank")
    order = np.argsort(given, axis=-1, kind="stable")
    ascending = np.take_along_axis(given, order, axis=-1)
    place = np.arange(given.shape[-1])
    differs = ascending[..., 1:] != ascending[..., :-1]
    edge = np.ones((*given.shape[:-1], 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], axis=-1), place, 0), axis=-1)
    ends = np.where(np.concatenate([differs, edge], axis=-1), place, given.shape[-1])
    last = np.flip(np.minimum.accumulate(np.flip(ends, axis=-1), axis=-1), axis=-1)
    ranks = np.empty(given.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=-1)
    return ranks
