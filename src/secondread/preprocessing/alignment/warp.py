"""Affine warps of arrays by homogeneous index matrices, for any rank.

Pictures go shorter ways than scipy's, with the same result to the rounding of float32: linear warps through
PIL, cubic ones as sixteen gathers from the spline's coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_EDGE = 12
"""Pixels of edge before a cubic spline is fitted: what lies further off has no influence in float32."""
_ROWS = 16
"""Rows of a picture that are gathered at a time, so that they stay in the processor's cache."""


def inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def warp(array: NDArray[np.float32], matrix: Matrix, *, order: Literal[1, 3]) -> NDArray[np.float32]:
    """out[i] = array[matrix · i], by splines of `order`; outside of the array the values of its edge."""
    rank = array.ndim
    if rank == 2 and min(array.shape) > 1:
        if order == 3:
            return _cubic(array, matrix)
        margin = _overshoot(array.shape, matrix)
        if margin <= max(array.shape):
            return _linear(array, matrix, margin)
    from scipy.ndimage import affine_transform

    warped = affine_transform(array, matrix[:rank, :rank], matrix[:rank, rank], order=order, mode="nearest")
    return np.asarray(warped, np.float32)


def warp_inside(array: NDArray[np.float32], matrix: Matrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`warp` of order 1 and `inside_of` together; what lies outside is 0."""
    if array.ndim == 2:
        moved = _linear(array, matrix, 0)
        inside = moved == moved
    else:
        moved, inside = warp(array, matrix, order=1), inside_of(array.shape, matrix)
    return np.where(inside, moved, np.float32(0)), inside


def _overshoot(size: Sequence[int], matrix: Matrix) -> int:
    """How many pixels beyond an array of `size` its warp reads, at most."""
    corners = np.array([[i, j, 1.0] for i in (0, size[0] - 1) for j in (0, size[1] - 1)]).T
    index = (matrix @ corners)[:2]
    beyond = max(float(-index.min()), *(float(index[axis].max()) - size[axis] + 1 for axis in (0, 1)))
    return max(0, int(np.ceil(beyond)) + 1)


def _linear(array: NDArray[np.float32], matrix: Matrix, margin: int) -> NDArray[np.float32]:
    """Linear warp of a picture whose edge is repeated for `margin` pixels; nan beyond.

    PIL counts columns first and puts pixel centres at halves.
    """
    from PIL import Image as Picture

    padded = np.pad(array, margin, mode="edge") if margin else array
    coefficients = []
    for axis in (1, 0):
        down, right, shift = matrix[axis, :3]
        coefficients += [right, down, shift + margin + 0.5 - 0.5 * (down + right)]
    moved = Picture.fromarray(np.ascontiguousarray(padded, np.float32)).transform(
        (array.shape[1], array.shape[0]),
        Picture.Transform.AFFINE,
        coefficients,
        Picture.Resampling.BILINEAR,
        fillcolor=float("nan"),
    )
    return np.asarray(moved, np.float32)


def _cubic(array: NDArray[np.float32], matrix: Matrix) -> NDArray[np.float32]:
    """Warp of a picture by cubic splines, its edge repeated: scipy's result.

        out[i] = sum over the 4×4 coefficients c around matrix · i of c_kl b(row - k) b(column - l)

    with b the cubic B-spline.
    """
    from scipy.ndimage import spline_filter

    fitted = spline_filter(np.pad(array, _EDGE, mode="edge"), order=3, mode="nearest")
    rows, columns = fitted.shape
    table = np.pad(fitted.astype(np.float32), 2, mode="reflect")
    width = table.shape[1]
    flat = table.reshape(-1)
    out = np.zeros(array.shape, np.float32)
    across = np.arange(array.shape[1])
    for first in range(0, array.shape[0], _ROWS):
        down = np.arange(first, min(first + _ROWS, array.shape[0]))[:, np.newaxis]
        row = np.clip(matrix[0, 0] * down + (matrix[0, 1] * across + (matrix[0, 2] + _EDGE)), 0, rows - 1)
        column = np.clip(
            matrix[1, 0] * down + (matrix[1, 1] * across + (matrix[1, 2] + _EDGE)), 0, columns - 1
        )
        row_below, column_below = row.astype(np.int64), column.astype(np.int64)
        row_weights = _cubic_weights((row - row_below).astype(np.float32))
        column_weights = _cubic_weights((column - column_below).astype(np.float32))
        start = (row_below + 1) * width + (column_below + 1)
        total = out[first : first + len(down)]
        taken, line = np.empty_like(total), np.empty_like(total)
        for k, row_weight in enumerate(row_weights):
            line[...] = 0
            for m, column_weight in enumerate(column_weights):
                np.take(flat[k * width + m :], start, out=taken, mode="clip")
                taken *= column_weight
                line += taken
            line *= row_weight
            total += line
    return out


def _cubic_weights(part: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """The cubic B-spline at the four coefficients around a position, `part` of the way from the second to
    the third."""
    rest = 1 - part
    sixth = np.float32(1 / 6)
    first, last = rest * rest * rest * sixth, part * part * part * sixth
    second = np.float32(2 / 3) - part * part * (1 - part * np.float32(0.5))
    return first, second, 1 - first - second - last, last


def inside_of(size: Sequence[int], matrix: Matrix) -> NDArray[np.bool_]:
    """Where on `[*size]` the index matrix · i lies within an array of that size."""
    rank = len(size)
    inside = np.ones(tuple(size), bool)
    for row in range(rank):
        index = np.full((1,) * rank, matrix[row, rank])
        for column, n in enumerate(size):
            shape = [1] * rank
            shape[column] = n
            index = index + (matrix[row, column] * np.arange(n)).reshape(shape)
        inside &= (index >= -0.5 - 1e-6) & (index <= size[row] - 0.5 + 1e-6)
    return inside


def unit_frame(size: Sequence[int], full_size: Sequence[int] | None = None) -> Matrix:
    """Index on a grid of `size` to centred coordinates in which half of the longest side of `full_size` is 1.

    Grids of different sizes over the same image share these coordinates.
    """
    full = np.asarray(full_size if full_size is not None else size, float)
    own = np.asarray(size, float)
    rank = len(own)
    frame = np.eye(rank + 1)
    frame[:rank, :rank] = np.diag(2.0 * full / own / full.max())
    frame[:rank, rank] = (0.5 / own - 0.5) * 2.0 * full / full.max()
    return frame
