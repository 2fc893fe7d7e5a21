"""Where the tiles of an image lie, and how their pixels weigh where they overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from types import EllipsisType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, ...]
"""Of a tile: its first pixel along each axis."""
Size = Sequence[int]
Blend = Literal["gaussian", "mean"]
DEVIATIONS_ACROSS = 8
"""Standard deviations of the Gaussian along a tile's side."""


def _count(length: int, side: int, overlap: float) -> int:
    step = max(1, math.floor(side * (1 - overlap)))
    return math.ceil((length - side) / step) + 1


def starts(length: int, side: int, overlap: float) -> list[int]:
    """The first pixels of tiles of `side` that cover `length` pixels, evenly spaced.

    >>> from secondread.tiling.tiles import starts
    >>> starts(10, 4, 0.5)
    [0, 2, 4, 6]
    """
    return [round(at) for at in np.linspace(0, length - side, _count(length, side, overlap))]


def corner_count(size: Size, window: Size, overlap: float) -> int:
    """The number of `corners`."""
    return math.prod(_count(length, side, overlap) for length, side in zip(size, window, strict=True))


def corners(size: Size, window: Size, overlap: float) -> list[Corner]:
    """The corners of the tiles that cover an image of `size`, the last axis fastest."""
    along = [starts(length, side, overlap) for length, side in zip(size, window, strict=True)]
    return list(product(*along))


def tile_at(corner: Corner, window: Size) -> tuple[EllipsisType | slice, ...]:
    """The pixels of a tile, as an index of the last axes, the spatial ones."""
    return (..., *(slice(at, at + side) for at, side in zip(corner, window, strict=True)))


def blend_weights(window: Size, blend: Blend) -> NDArray[np.float32]:
    """`[*window]`, above 0, the largest 1."""
    weights = np.ones((), np.float64)
    for side in window:
        offsets = np.arange(side) - (side - 1) / 2
        gaussian = np.exp(-0.5 * (offsets * DEVIATIONS_ACROSS / side) ** 2)
        along = gaussian / gaussian.max() if blend == "gaussian" else np.ones(side)
        weights = weights[..., np.newaxis] * along
    return weights.astype(np.float32)
