"""Images with boxes erased, for networks that learn to fill them in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def box_side(size: Sequence[int], share: float) -> int:
    """The side of a square or cube that takes `share` of an image of `size`, at least one pixel and at most
    the shortest side."""
    total = 1.0
    for length in size:
        total *= length
    return max(1, min(*size, round((share * total) ** (1 / len(size)))))


def in_box(sides: Tensor, generator: torch.Generator, size: Sequence[int]) -> Tensor:
    """Where a square or cube lies that is drawn for each image, bool `[N, 1, *size]`; `sides` `[N]` whole
    numbers, 0 for none. Every place inside the image is equally likely."""
    found = torch.ones(len(sides), 1, *size, dtype=torch.bool)
    for axis, length in enumerate(size):
        drawn = torch.rand(len(sides), generator=generator, device=generator.device).to(sides.device)
        first = (drawn * (length - sides + 1)).floor().clamp_max(length - sides)
        place = torch.arange(length, device=sides.device)
        inside = (place >= first[:, None]) & (place < (first + sides)[:, None])
        found = found.to(inside.device) & inside.view(len(sides), 1, *_along(axis, length, len(size)))
    return found


def _along(axis: int, length: int, rank: int) -> list[int]:
    return [length if other == axis else 1 for other in range(rank)]
