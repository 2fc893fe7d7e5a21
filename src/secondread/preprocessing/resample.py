"""Resampling along the axes: antialiased linear interpolation, for any rank.

One sparse matrix per axis, by scipy. PIL would do for 2-D alone and is no faster; torch is left out of this
room on purpose, because it runs in worker processes that decode files, and these must stay light (a
torch import costs seconds of start-up and hundreds of megabytes per process).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@lru_cache(maxsize=256)
def triangle_weights(
    size: int, source_size: int, scale: float, offset: float, first: int = 0, last: int | None = None
) -> csr_array:
    """`[size, source_size]` matrix that interpolates linearly at the source indices offset + scale · i.

    The triangle filter is widened by `scale` where that exceeds 1, which averages what falls between target
    pixels (antialiasing, as PIL's BILINEAR resize). Weights add up to 1 in each row and use the source's
    pixels `first` to `last − 1` alone; a position outside of them takes the nearest one's value.
    """
    from scipy.sparse import csr_array

    last = source_size if last is None else last
    support = max(scale, 1.0)
    centre = np.clip(offset + scale * np.arange(size), first - 0.5, last - 0.5)[:, np.newaxis]
    reach = int(np.ceil(support))
    taps = np.floor(centre).astype(np.int64) + np.arange(-reach, reach + 2)
    weights = np.maximum(0.0, 1.0 - np.abs(taps - centre) / support)
    weights[(taps < first) | (taps >= last)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(size)[:, np.newaxis], taps.shape)
    used = weights > 0
    return csr_array((weights[used].astype(np.float32), (rows[used], taps[used])), shape=(size, source_size))


def apply_along_axes(array: NDArray[np.float32], matrices: Sequence[csr_array | None]) -> NDArray[np.float32]:
    """Multiply the last `len(matrices)` axes of the array, each by its matrix (None leaves an axis)."""
    first = array.ndim - len(matrices)
    for axis, matrix in enumerate(matrices, start=first):
        if matrix is None:
            continue
        turned = np.moveaxis(array, axis, 0)
        product = matrix @ np.ascontiguousarray(turned.reshape(turned.shape[0], -1))
        array = np.moveaxis(product.reshape(matrix.shape[0], *turned.shape[1:]), 0, axis)
    return np.ascontiguousarray(array, dtype=np.float32)


def resize(array: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """The array's last `len(size)` axes stretched to `size`, with the pixels' outer edges kept in place."""
    source = array.shape[array.ndim - len(size) :]
    matrices = [
        None if n == m else triangle_weights(m, n, n / m, 0.5 * n / m - 0.5)
        for m, n in zip(size, source, strict=True)
    ]
    return apply_along_axes(array, matrices)
