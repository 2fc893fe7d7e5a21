"""Patches cut from images at any place and scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from secondread.networks.by_rank import area_resize
from secondread.networks.precision import full_precision

MOST_SAMPLES = 4
"""Per axis and pixel of a patch that is made smaller: enough that fine texture does not alias."""


@torch.no_grad()
def cut_patches(images: Tensor, centres: Tensor, spacing: Tensor, side: int, coarsest: float) -> Tensor:
    """A patch of each of images `[N, C, *S]`: `[N, C, side, ...]` float32.

    centres   `[N, rank]`, in pixels; the image's edges are at 0 and S. A patch is moved to lie within its
              image where it is not larger than that; beyond the edges the image is mirrored
    spacing   `[N]`: pixels of the image from one pixel of the patch to the next. Below 1 the patch is
              enlarged
    coarsest  the largest spacing that may come, from which it follows how many points are averaged to a
              pixel
    """
    rank = images.dim() - 2
    points = min(max(1, math.ceil(coarsest - 1e-6)), MOST_SAMPLES)
    count = side * points
    size = torch.tensor(images.shape[2:], device=images.device, dtype=torch.float32)
    half = (side / 2) * spacing.float()[:, None].expand(-1, rank)
    high = torch.maximum(size - half, size / 2)
    middle = torch.minimum(torch.maximum(centres.float(), torch.minimum(half, size / 2)), high)
    steps = (torch.arange(count, device=images.device, dtype=torch.float32) + 0.5) / count * 2 - 1
    axes = (middle[:, :, None] + half[:, :, None] * steps) / size[:, None] * 2 - 1  # -1 and 1 are the edges
    along = [
        axes[:, axis].view(-1, *[count if other == axis else 1 for other in range(rank)])
        for axis in reversed(range(rank))
    ]
    grid = torch.stack([one.expand(len(images), *[count] * rank) for one in along], dim=-1)
    with full_precision(images):
        found = grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    return area_resize(found, (side,) * rank)
