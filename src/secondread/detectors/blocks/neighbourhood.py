"""What a map looks like around each of its places: the median, and where all around is foreground."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from secondread.networks.by_rank import neighbourhood_mean


def neighbourhood_median(x: Tensor, side: int) -> Tensor:
    """The median of `[N, 1, *S]` over `side` places per axis (odd) around each, the map being reflected at
    its edges; `x` itself where it is 1. `ValueError` for a map with fewer places along an axis than half a
    side."""
    if side == 1:
        return x
    size, reach = x.shape[2:], side // 2
    if min(size) <= reach:
        raise ValueError(f"a median over {side} places per axis needs maps larger than {tuple(size)}")
    around = functional.pad(x, [reach] * (2 * len(size)), mode="reflect")
    planes = []
    for first in range(size[0]):  # one plane of the result at a time: a volume's neighbourhoods are large
        part = around.narrow(2, first, side)
        for axis in range(1, len(size)):
            part = part.unfold(2 + axis, side, 1)
        part = part.movedim(2, -1).flatten(1 + len(size))
        planes.append(part.median(dim=-1).values)
    return torch.stack(planes, dim=2)


def eroded(mask: Tensor, side: int, share: float = 0.95) -> Tensor:
    """Where more than `share` of the `side` places per axis (odd) around is set in a mask `[N, 1, *S]`;
    places beyond the edge do not count."""
    return neighbourhood_mean(mask.float(), side) > share
