"""The values that an image has: what an anomaly is measured by and clipped to."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from secondread.anomalies.anomaly import per_image


def values_of(images: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Lowest and highest value and standard deviation of each image's valid positions, `[N, 1, 1, …]`; of an
    image without any, 0."""
    rank, flat = images.dim() - 2, images.flatten(1)
    kept = torch.ones_like(flat, dtype=torch.bool) if valid is None else valid.expand_as(images).flatten(1)
    some = kept.any(dim=1)
    lowest = flat.masked_fill(~kept, math.inf).amin(dim=1).where(some, 0)
    highest = flat.masked_fill(~kept, -math.inf).amax(dim=1).where(some, 0)
    number = kept.sum(dim=1).clamp_min(1)
    mean = (flat * kept).sum(dim=1) / number
    deviation = (((flat - mean[:, None]) * kept).square().sum(dim=1) / number).sqrt()
    return per_image(lowest, rank), per_image(highest, rank), per_image(deviation, rank)
