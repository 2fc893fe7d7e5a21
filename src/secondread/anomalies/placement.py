"""Where an anomaly lies: in the part of an image that is valid, its centre in the core of that part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """The smallest box around each image's valid positions: it starts at `low` and is `side` long, in
    positions along each axis. float32 `[N, rank]`, whole numbers; side 0 where nothing is valid."""

    low: Tensor
    side: Tensor


def valid_box(images: Tensor, valid: Tensor | None) -> Box:
    """Of images `[N, C, *S]` and their valid positions `[N, 1, *S]`; None = the whole image."""
    count, size = len(images), images.shape[2:]
    if valid is None:
        side = torch.tensor(size, dtype=torch.float32, device=images.device).expand(count, -1)
        return Box(torch.zeros_like(side), side)
    lows, sides = [], []
    for axis, length in enumerate(size):
        line = valid[:, 0].movedim(1 + axis, 1).reshape(count, length, -1).any(dim=2)
        first = line.byte().argmax(dim=1)
        end = length - line.flip(1).byte().argmax(dim=1)
        lows.append(first)
        sides.append(torch.where(line.any(dim=1), end - first, 0))
    return Box(torch.stack(lows, dim=1).float(), torch.stack(sides, dim=1).float())


def below(drawn: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """U[0, 1) to whole numbers in `[low, high)`, each as likely; `low` where there is none."""
    count = (high - low).clamp_min(1)
    return low + torch.minimum((drawn * count).floor(), count - 1)


def centres(drawn: Tensor, box: Box, core: float) -> Tensor:
    """Positions in the middle `core` of the box along each axis: `[N, rank]` from U[0, 1) `[N, rank]`."""
    margin = box.side * ((1 - core) / 2)
    return box.low + below(drawn, (margin + 1e-3).floor(), (margin + box.side * core + 1e-3).floor())


def cuboids(low: Tensor, high: Tensor, size: Sequence[int]) -> Tensor:
    """bool `[N, 1, *size]`, True from position `low` to before `high` (both `[N, rank]`)."""
    inside = torch.ones(len(low), 1, *size, dtype=torch.bool, device=low.device)
    for axis, position in enumerate(positions(size, low.device)):
        ends = (len(low), 1, *[1] * len(size))
        inside &= (position >= low[:, axis].view(ends)) & (position < high[:, axis].view(ends))
    return inside


def positions(size: Sequence[int], device: torch.device | str) -> list[Tensor]:
    """0, 1, 2 … along each axis, shaped so that it goes with `[N, 1, *size]`."""
    found = []
    for axis, length in enumerate(size):
        shape = [1] * (2 + len(size))
        shape[2 + axis] = length
        found.append(torch.arange(length, dtype=torch.float32, device=device).view(shape))
    return found
