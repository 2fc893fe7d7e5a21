"""Gaussian blur of images and volumes, one axis after the other, as a product with a banded matrix.

On CPUs a matrix product is several times faster here than a convolution of one channel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.networks.precision import full_precision


def blur_axis(x: Tensor, axis: int, deviation: float, window: int, *, repeat_edges: bool = False) -> Tensor:
    """`[N, C, *S]` under a normalised Gaussian of `window` positions along one spatial axis.

    Only windows inside the image: the axis shrinks by window - 1. With `repeat_edges` (odd windows) it
    keeps its length, and positions outside have the value of the edge.
    """
    length = x.shape[axis + 2]
    offsets = torch.arange(window, device=x.device, dtype=torch.float32) - (window - 1) / 2
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = kernel / kernel.sum()
    reach = window // 2 if repeat_edges else 0
    rows = torch.arange(length + 2 * reach - window + 1, device=x.device)
    columns = (rows[:, None] + torch.arange(window, device=x.device) - reach).clamp(0, length - 1)
    matrix = torch.zeros(len(rows), length, device=x.device)
    matrix.scatter_add_(1, columns, kernel.expand(len(rows), window).contiguous())
    if axis + 3 == x.dim():
        return x @ matrix.T
    flat = x.flatten(axis + 3)
    return (matrix @ flat).unflatten(-1, x.shape[axis + 3 :])


def gaussian_blur(x: Tensor, deviation: float) -> Tensor:
    """`[N, C, *S]` blurred with `deviation` in positions, edges repeated; `x` itself where it is 0."""
    if deviation == 0:
        return x
    with full_precision(x):
        x = x.float()
        for axis in range(x.dim() - 2):
            x = blur_axis(x, axis, deviation, 2 * max(1, round(3 * deviation)) + 1, repeat_edges=True)
    return x
