"""What lies around positions: inner parts of a mask, majorities and medians.

All of it is on arrays of the CPU: what one patch needs is so small that a call of torch costs several times
what numpy's does, and its median of many short rows ten times numpy's sort.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)

TOGETHER = 1 << 22
"""Values of neighbourhoods that are held at a time."""


def inner(valid: Tensor | None, images: Tensor) -> Tensor:
    """`interior` of masks `[N, 1, *S]`, on the device of the images; None = valid everywhere."""
    shape = (len(images), 1, *images.shape[2:])
    there = np.ones(shape, dtype=bool) if valid is None else valid.cpu().numpy()
    return torch.from_numpy(interior(there, images.dim() - 2)).to(images.device)


def interior(valid: Mask, rank: int) -> Mask:
    """Of a mask `[..., *S]` with `rank` spatial axes the positions of which all neighbours along these axes
    are in it, so none on the border of the grid."""
    kept = np.zeros_like(valid)
    core: tuple[Any, ...] = (..., *[slice(1, -1)] * rank)
    kept[core] = valid[core]
    for axis in range(rank):
        for shift in (slice(None, -2), slice(2, None)):
            beside = [shift if own == axis else slice(1, -1) for own in range(rank)]
            kept[core] &= valid[(*core[:1], *beside)]
    return kept


def bounds_of(mask: Mask) -> list[tuple[int, int]] | None:
    """First position and the one behind the last along each axis; None of an empty mask."""
    bounds = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        there = np.atleast_1d(mask.any(axis=others))
        low = int(there.argmax())
        if not there[low]:
            return None
        bounds.append((low, len(there) - int(there[::-1].argmax())))
    return bounds


def around(values: NDArray[Value], bounds: Sequence[tuple[int, int]], margin: int) -> NDArray[Value]:
    """The box with `margin` positions on each side; beyond the border the outermost positions go on."""
    ends = [(low - margin, high + margin) for low, high in bounds]
    if all(low >= 0 and high <= length for (low, high), length in zip(ends, values.shape, strict=True)):
        return values[tuple(slice(*pair) for pair in ends)]
    places = [
        np.arange(low, high).clip(0, length - 1)
        for (low, high), length in zip(ends, values.shape, strict=True)
    ]
    return values[np.ix_(*places)]


def majority(mask: Mask, window: int) -> Mask:
    """The median of a mask over a cube of `window` positions per axis, an odd number: bool `[*S]`. Beyond the
    border the outermost positions go on."""
    found = np.zeros_like(mask)
    bounds = bounds_of(mask)
    if bounds is None:
        return found
    # Outside the box around what is set, less than half of any window is.
    counts = around(mask, bounds, window // 2).astype(np.int32)
    for axis in range(mask.ndim):
        lines = counts.swapaxes(0, axis)
        length = len(lines) - window + 1
        sums = lines[:length].copy()
        for step in range(1, window):
            sums += lines[step : step + length]
        counts = sums.swapaxes(0, axis)
    found[tuple(slice(*pair) for pair in bounds)] = 2 * counts > window**mask.ndim
    return found


def medians(values: Floats, places: Mask, radius: int) -> Floats:
    """The median of `values` `[*S]` over the disk or ball of `radius` around each of the `places`, bool
    `[*S]`: `[M]`, in the order of `values[places]`. Beyond the border the outermost positions go on."""
    bounds = bounds_of(places)
    if bounds is None:
        return np.zeros(0, dtype=values.dtype)
    wide = around(values, bounds, radius)
    ball = ball_of(radius, values.ndim)
    steps = np.array([math.prod(wide.shape[axis + 1 :]) for axis in range(wide.ndim)])
    offsets = ball @ steps
    wanted = np.argwhere(places[tuple(slice(*pair) for pair in bounds)]) @ steps
    flat = np.ascontiguousarray(wide).ravel()
    found = []
    rows = max(1, TOGETHER // len(offsets))
    for first in range(0, len(wanted), rows):
        near = flat.take(wanted[first : first + rows, None] + offsets)
        near.sort(axis=1)
        found.append(near[:, len(offsets) // 2])
    return np.concatenate(found)


@lru_cache(maxsize=16)
def ball_of(radius: int, rank: int) -> NDArray[np.int_]:
    """The positions of a disk or ball, from the corner of the box around it: `[K, rank]`."""
    grid = np.array(list(itertools.product(range(2 * radius + 1), repeat=rank)))
    return grid[np.square(grid - radius).sum(axis=1) <= radius * radius]
