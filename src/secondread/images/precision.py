"""When float32 can hold an image's values, and when it cannot.

float32 has 24 bits: at an offset of 10⁹ it tells values apart that differ by 64 or more. An image whose
contrast lies below that would become one value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_SAMPLE = 1 << 16
_EXACT = (np.dtype(np.float16), np.dtype(np.float32))
_SHARE_KEPT = 0.9


def told_apart_by_float32(values: NDArray[Any]) -> bool:
    """Whether float32 keeps apart what these values keep apart, up to a tenth of them, over an even sample.

    Rounding that joins a few neighbours of many (fractions in 64 bits) does no harm; a great offset joins
    most.
    """
    dtype = values.dtype
    if dtype in _EXACT or (dtype.kind in "bui" and dtype.itemsize <= 2):
        return True
    sample = values.reshape(-1)[:: max(1, values.size // _SAMPLE)]
    if dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    with np.errstate(over="ignore"):
        kept = len(np.unique(sample.astype(np.float32)))
    return kept >= _SHARE_KEPT * len(np.unique(sample))


def as_float(values: NDArray[Any]) -> NDArray[np.floating]:
    """The values as float32, or as float64 where float32 would join or overflow them."""
    if told_apart_by_float32(values) and not beyond_float32(values):
        return values.astype(np.float32, copy=False)
    return values.astype(np.float64, copy=False)


def beyond_float32(values: NDArray[Any]) -> int:
    """How many finite values lie outside of what float32 can hold."""
    if values.dtype.kind != "f" or values.dtype.itemsize <= 4:
        return 0
    return int(np.count_nonzero(np.isfinite(values) & (np.abs(values) > LARGEST_FLOAT32)))
