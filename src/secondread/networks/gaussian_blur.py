"""Gaussian blur of images and volumes, one axis after the other, as products with the blocks of a banded
matrix.

On CPUs a matrix product is several times faster here than a convolution of one channel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.networks.precision import full_precision

BAND = 32
"""Positions that one matrix product gives: more of them multiply more zeros."""


def blur_axis(x: Tensor, axis: int, deviation: float, window: int, *, repeat_edges: bool = False) -> Tensor:
    """`[N, C, *S]` under a normalised Gaussian of `window` positions along one spatial axis.

    Only windows inside the image: the axis shrinks by window - 1. With `repeat_edges` (odd windows) it
    keeps its length, and positions outside have the value of the edge.
    """
    kernel = gaussian(window, deviation, x.device)
    dimension = axis + 2
    if repeat_edges:
        length, reach = x.shape[dimension], window // 2
        x = x.index_select(
            dimension, torch.arange(-reach, length + reach, device=x.device).clamp(0, length - 1)
        )
    length = x.shape[dimension] - window + 1
    band = min(BAND, length)
    rows = torch.arange(band, device=x.device)[:, None]
    matrix = torch.zeros(band, band + window - 1, device=x.device)
    matrix.scatter_(1, rows + torch.arange(window, device=x.device), kernel.expand(band, window))
    last = dimension + 1 == x.dim()
    shape = x.shape[dimension + 1 :]
    x = x if last else x.flatten(dimension + 1)
    parts = []
    for start in range(0, length, band):
        count = min(band, length - start)
        part = x.narrow(dimension, start, count + window - 1)
        own = matrix[:count, : count + window - 1]
        parts.append(part @ own.T if last else own @ part)
    blurred = torch.cat(parts, dim=dimension)
    return blurred if last else blurred.unflatten(-1, shape)


def gaussian(window: int, deviation: float, device: torch.device | None = None) -> Tensor:
    """The weights of a window, `[window]` float32; their sum is 1."""
    offsets = torch.arange(window, device=device, dtype=torch.float32) - (window - 1) / 2
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    return kernel / kernel.sum()


def gaussian_blur(x: Tensor, deviation: float) -> Tensor:
    """`[N, C, *S]` blurred with `deviation` in positions, edges repeated; `x` itself where it is 0."""
    if deviation == 0:
        return x
    with full_precision(x):
        x = x.float()
        for axis in range(x.dim() - 2):
            x = blur_axis(x, axis, deviation, 2 * max(1, round(3 * deviation)) + 1, repeat_edges=True)
    return x
