"""Bins for float32 values of any range, in their order, fixed before a value is seen.

The bits of a float32, with the sign turned, order as the numbers do. Their leading `bits` are the
bin: one sign, eight exponent and `bits - 9` fraction bits, so that a bin is `2 ** -(bits - 9)` of its
value wide (0.05 % at 20 bits) wherever the value lies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.metrics.labelled_scores import Floats


def bin_of(values: NDArray[np.float32], bits: int) -> NDArray[np.int64]:
    """The bin, 0 to `2 ** bits - 1`, of each value; equal values share one and order is kept."""
    pattern = (np.ascontiguousarray(values, dtype=np.float32) + np.float32(0)).view(np.uint32)
    negative = pattern >> 31 == 1
    ordered = np.where(negative, ~pattern, pattern | np.uint32(1 << 31))
    return (ordered >> np.uint32(32 - bits)).astype(np.int64)


def lower_edge(bins: NDArray[np.int64], bits: int) -> Floats:
    """The smallest value that falls into each bin (-inf where that is no finite number)."""
    ordered = (bins.astype(np.uint64) << np.uint64(32 - bits)).astype(np.uint32)
    pattern = np.where(ordered >> 31 == 1, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    with np.errstate(invalid="ignore"):
        edge = pattern.astype(np.uint32).view(np.float32).astype(np.float64)
    return np.where(np.isnan(edge), -np.inf, edge)
