"""Gaussian blur of images and volumes, one axis after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondread.networks.precision import full_precision

_CONVOLVE = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}


def blur_axis(x: Tensor, axis: int, deviation: float, window: int) -> Tensor:
    """`[N, 1, *S]` under a normalised Gaussian of `window` positions along one axis, without padding."""
    rank = x.dim() - 2
    offsets = torch.arange(window, device=x.device, dtype=torch.float32) - (window - 1) / 2
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    shape = [1] * rank
    shape[axis] = window
    return _CONVOLVE[rank](x, (kernel / kernel.sum()).view(1, 1, *shape))


def gaussian_blur(x: Tensor, deviation: float) -> Tensor:
    """`[N, 1, *S]` blurred with `deviation` in positions, edges repeated; `x` itself where it is 0."""
    if deviation == 0:
        return x
    reach = max(1, round(3 * deviation))
    with full_precision(x):
        x = x.float()
        for axis in range(x.dim() - 2):
            sides = [0] * (2 * (x.dim() - 2))
            place = 2 * (x.dim() - 3 - axis)  # torch lists the last axis first
            sides[place] = sides[place + 1] = reach
            x = blur_axis(nn.functional.pad(x, sides, mode="replicate"), axis, deviation, 2 * reach + 1)
    return x
