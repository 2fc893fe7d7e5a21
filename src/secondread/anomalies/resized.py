"""A box of one image, resized, and a place for it in another, each chosen by how much object it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from secondread.anomalies.placement import below
from secondread.networks.by_rank import INTERPOLATION


@dataclass(frozen=True)
class Scene:
    """One image: what is valid in it, what of that is object, and the box around the valid positions.

    values `[C, *S]`, valid and object bool `[*S]`, low and side of the box as whole numbers per axis
    """

    values: Tensor
    valid: Tensor
    object: Tensor
    low: Sequence[int]
    side: Sequence[int]


@dataclass(frozen=True)
class Cut:
    """What was cut out: values `[C, *n]`, and where they are valid and where object, bool `[*n]`."""

    values: Tensor
    valid: Tensor
    object: Tensor

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.valid.shape)


def slices(low: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(first, first + length) for first, length in zip(low, size, strict=True))


def cut_out(
    source: Scene, half: Sequence[int], margin: Sequence[int], share: float, drawn: Tensor
) -> Cut | None:
    """The box `[c - half, c + half)` of the source, cut off at the border of what is valid in it. Of the
    centres c that `drawn` U[0, 1) `[attempts, rank]` names, each `margin` away from that border, the first
    whose box has at least `share` of object; None where there is none."""
    low, side = torch.tensor(source.low), torch.tensor(source.side)
    gap = torch.minimum(torch.tensor(margin), (side - 1) // 2)
    for centre in below(drawn, low + gap, low + side - gap).long().tolist():
        first = [max(c - h, start) for c, h, start in zip(centre, half, source.low, strict=True)]
        ends = (start + length for start, length in zip(source.low, source.side, strict=True))
        last = [min(c + h, end) for c, h, end in zip(centre, half, ends, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        there = source.object[box]
        if enough(there, share):
            return Cut(source.values[(slice(None), *box)], source.valid[box], there)
    return None


def resized(cut: Cut, size: Sequence[int]) -> Cut:
    """Linear between the centres of positions. Valid is what no padding has part in, object what is object
    by half at least."""
    if cut.size == tuple(size):
        return cut
    layers = torch.cat([cut.values, cut.valid[None].to(cut.values), cut.object[None].to(cut.values)])
    layers = functional.interpolate(
        layers[None], size=tuple(size), mode=INTERPOLATION[len(size)], align_corners=False
    )[0]
    return Cut(layers[:-2], layers[-2] > 1 - 1e-4, layers[-1] >= 0.5)


def place_for(cut: Cut, target: Scene, share: float, overlap: float, drawn: Tensor) -> list[int] | None:
    """The first position of the first place where at least `overlap` of the cut's object falls on the
    target's, of those that `drawn` `[attempts, rank]` names within the box of what is valid in the target;
    None where there is none, or where the cut has less than `share` of object."""
    if not enough(cut.object, share):
        return None
    low, room = torch.tensor(target.low), torch.tensor(target.side) - torch.tensor(cut.size)
    count = int(cut.object.sum())
    for first in below(drawn, low, low + room + 1).long().tolist():
        both = int((target.object[slices(first, cut.size)] & cut.object).sum())
        if both and both >= overlap * count:
            return first
    return None


def enough(there: Tensor, share: float) -> bool:
    count = int(there.sum())
    return count > 0 and count >= share * there.numel()
