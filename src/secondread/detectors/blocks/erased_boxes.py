"""Images with boxes erased, for networks that learn to fill them in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from secondread.anomalies.placement import cuboids


def box_side(size: Sequence[int], share: float) -> int:
    """The side of a square or cube that takes `share` of an image of `size`, at least one pixel and at most
    the shortest side."""
    return max(1, min(*size, round((share * math.prod(size)) ** (1 / len(size)))))


def in_box(sides: Tensor, generator: torch.Generator, size: Sequence[int]) -> Tensor:
    """Where a square or cube lies that is drawn for each image, bool `[N, 1, *size]`; `sides` `[N]` whole
    numbers, 0 for none. Every place inside the image is equally likely."""
    firsts = []
    for length in size:
        drawn = torch.rand(len(sides), generator=generator, device=generator.device).to(sides.device)
        firsts.append((drawn * (length - sides + 1)).floor().clamp_max(length - sides))
    first = torch.stack(firsts, dim=1)
    return cuboids(first, first + sides[:, None], size)
