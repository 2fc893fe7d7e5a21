"""Affine warps of arrays by homogeneous index matrices, for any rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

Matrix = NDArray[np.float64]


def inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def warp(array: NDArray[np.float32], matrix: Matrix, *, order: Literal[1, 3]) -> NDArray[np.float32]:
    """out[i] = array[matrix · i], by splines of `order`; outside of the array the values of its edge."""
    rank = array.ndim
    warped = affine_transform(array, matrix[:rank, :rank], matrix[:rank, rank], order=order, mode="nearest")
    return np.asarray(warped, np.float32)


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
