"""The order in memory in which a Glow's state travels: planes `[C, N, *S]`, one per channel.

A half of the channels, a neighbour's plane and a map of one channel are then each one stretch of memory,
and the channels of a position are the column of a matrix `[C, N * prod(S)]`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def to_planes(x: Tensor) -> Tensor:
    """`[N, C, *S]` as `[C, N, *S]`, contiguous."""
    return x.movedim(1, 0).contiguous()


def from_planes(x: Tensor) -> Tensor:
    """`[C, N, *S]` as a view `[N, C, *S]`."""
    return x.movedim(0, 1)


def squeeze(x: Tensor) -> Tensor:
    """Every cell of 2 positions per axis becomes channels: `[C, N, *S]` to `[2^rank C, N, *(S / 2)]`.

    Channel c of the cell's position (i, j, …) becomes channel c * 2^rank + (i * 2 + j …), as in Glow.
    """
    channels, images, *size = x.shape
    if any(length % 2 for length in size):
        raise ValueError(f"a map of {tuple(size)} cannot be squeezed: every side must be even")
    rank = len(size)
    cells = x.reshape(channels, images, *(part for length in size for part in (length // 2, 2)))
    inside = [3 + 2 * axis for axis in range(rank)]
    outside = [2 + 2 * axis for axis in range(rank)]
    half = [length // 2 for length in size]
    return cells.permute(0, *inside, 1, *outside).reshape(channels * 2**rank, images, *half)


def unsqueeze(x: Tensor) -> Tensor:
    """The inverse of `squeeze`."""
    channels, images, *half = x.shape
    rank = len(half)
    cells = x.reshape(channels >> rank, *([2] * rank), images, *half)
    order = [0, 1 + rank]
    for axis in range(rank):
        order += [2 + rank + axis, 1 + axis]
    return cells.permute(order).reshape(channels >> rank, images, *(2 * length for length in half))


def neighbourhoods(
    x: Tensor, *, border: bool = False, ones: bool = False, dtype: torch.dtype | None = None
) -> Tensor:
    """The 3-wide neighbourhood of each position as the columns of a matrix, zero beyond the edge.

    x `[C, N, *S]` to `[K, N * prod(S)]`, where row (c, i, j, …) holds channel c at the offset (i - 1, j - 1,
    …). `border` adds a channel that is 1 beyond the edge and 0 inside (Glow's edge bias), `ones` a last row
    of ones, for a bias.
    """
    channels, images, *size = x.shape
    rank, dtype = len(size), dtype or x.dtype
    rows = channels + border
    padded = x.new_zeros((rows, images, *(length + 2 for length in size)), dtype=dtype)
    inner = (slice(None), *(slice(1, -1) for _ in size))
    padded[:channels][(slice(None), *inner)] = x
    if border:
        padded[channels].fill_(1.0)
        padded[channels][inner] = 0.0
    matrix = x.new_empty((rows * 3**rank + ones, images * math.prod(size)), dtype=dtype)
    strides = padded.stride()
    moved = padded.as_strided(
        (rows, *([3] * rank), images, *size), (strides[0], *strides[2:], strides[1], *strides[2:])
    )
    matrix[: rows * 3**rank].view(moved.shape).copy_(moved)
    if ones:
        matrix[-1] = 1.0
    return matrix


def scatter(columns: Tensor, images: int, size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The transpose of `neighbourhoods` without border: `[C * 3^rank, N * prod(S)]` to `[C, N, *S]`.

    Row (c, i, j, …) of a position is added to channel c at the offset (i - 1, j - 1, …), and what falls
    beyond the edge is lost. The sum is taken in `dtype`.
    """
    rank = len(size)
    channels = columns.shape[0] // 3**rank
    parts = columns.view(channels, 3**rank, images, *size)
    total = columns.new_zeros((channels, images, *(length + 2 for length in size)), dtype=dtype)
    for tap in range(3**rank):
        offsets = [tap // 3 ** (rank - 1 - axis) % 3 for axis in range(rank)]
        where = tuple(slice(at, at + length) for at, length in zip(offsets, size, strict=True))
        total[(slice(None), slice(None), *where)] += parts[:, tap]
    return total[(slice(None), slice(None), *(slice(1, -1) for _ in size))]
