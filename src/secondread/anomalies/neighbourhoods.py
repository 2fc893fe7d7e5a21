"""What lies around positions: inner parts of a mask, majorities and medians."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional

TOGETHER = 1 << 22
"""Values of neighbourhoods that are held at a time."""


def inner(valid: Tensor | None, images: Tensor) -> Tensor:
    """bool `[N, 1, *S]`: valid positions of which all neighbours along the axes are valid, so none on the
    border of the grid. None = valid everywhere."""
    size = images.shape[2:]
    kept = torch.ones(len(images), 1, *size, dtype=torch.bool, device=images.device)
    for axis, length in enumerate(size, start=2):
        kept.narrow(axis, 0, 1).zero_()
        kept.narrow(axis, length - 1, 1).zero_()
        if valid is not None:
            kept.narrow(axis, 1, length - 1).logical_and_(valid.narrow(axis, 0, length - 1))
            kept.narrow(axis, 0, length - 1).logical_and_(valid.narrow(axis, 1, length - 1))
    return kept if valid is None else kept & valid


def majority(mask: Tensor, window: int) -> Tensor:
    """The median of a mask over a cube of `window` positions per axis, an odd number: bool `[*S]`. Beyond the
    border the outermost positions go on."""
    counts = mask.float()
    for axis in range(mask.dim()):
        lines = counts.movedim(axis, -1)
        flat = lines.reshape(-1, 1, lines.shape[-1])
        flat = functional.pad(flat, (window // 2, window // 2), mode="replicate")
        sums = functional.avg_pool1d(flat, window, stride=1) * window
        counts = sums.view(lines.shape).movedim(-1, axis)
    return counts > window ** mask.dim() / 2


def medians(values: Tensor, places: Tensor, radius: int) -> Tensor:
    """The median of `values` `[*S]` over the disk or ball of `radius` around each of `places`, integer
    `[M, rank]`: `[M]`. Beyond the border the outermost positions go on."""
    rank = values.dim()
    offsets = torch.tensor(
        [
            offset
            for offset in itertools.product(range(-radius, radius + 1), repeat=rank)
            if sum(step * step for step in offset) <= radius * radius
        ],
        device=values.device,
    )
    last = torch.tensor(values.shape, device=values.device) - 1
    found = []
    for some in places.split(max(1, TOGETHER // len(offsets))):
        around = torch.minimum((some[:, None] + offsets).clamp_min(0), last)
        found.append(values[tuple(around.unbind(-1))].median(dim=1).values)
    return torch.cat(found) if found else values.new_zeros(0)
