"""A box of one image, resized, and a place for it in another, each chosen by how much object it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from secondread.anomalies.neighbourhoods import Mask
from secondread.networks.by_rank import INTERPOLATION

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Scene:
    """One image: what is valid in it, what of that is object, and the box around the valid positions.

    values `[C, *S]`, valid and object bool `[*S]`, low and side of the box as whole numbers per axis
    """

    values: Floats
    valid: Mask
    object: Mask
    low: Sequence[int]
    side: Sequence[int]


@dataclass(frozen=True)
class Cut:
    """What was cut out: values `[C, *n]`, and where they are valid and where object, bool `[*n]`."""

    values: Floats
    valid: Mask
    object: Mask

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.valid.shape)


def slices(low: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(first, first + length) for first, length in zip(low, size, strict=True))


def cut_out(
    source: Scene, half: Sequence[int], margin: Sequence[int], share: float, drawn: Floats
) -> Cut | None:
    """The box `[c - half, c + half)` of the source, cut off at the border of what is valid in it. Of the
    centres c that `drawn` U[0, 1) `[attempts, rank]` names, each `margin` away from that border, the first
    whose box has at least `share` of object; None where there is none."""
    low, side = np.array(source.low), np.array(source.side)
    gap = np.minimum(margin, (side - 1) // 2)
    for centre in below(drawn, low + gap, low + side - gap):
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
    values = interpolated(cut.values, size)
    if cut.valid.all() and cut.object.all():
        everywhere = np.ones(tuple(size), dtype=bool)
        return Cut(values, everywhere, everywhere)
    valid, thing = interpolated(np.stack([cut.valid, cut.object]).astype(values.dtype), size)
    return Cut(values, valid > 1 - 1e-4, thing >= 0.5)


def interpolated(layers: Floats, size: Sequence[int]) -> Floats:
    """`[C, *n]` to `[C, *size]`."""
    mode = INTERPOLATION[len(size)]
    given = torch.from_numpy(layers)[None]
    found: Floats = functional.interpolate(given, size=tuple(size), mode=mode, align_corners=False)[0].numpy()
    return found


def place_for(cut: Cut, target: Scene, share: float, overlap: float, drawn: Floats) -> list[int] | None:
    """The first position of the first place where at least `overlap` of the cut's object falls on the
    target's, of those that `drawn` `[attempts, rank]` names within the box of what is valid in the target;
    None where there is none, or where the cut has less than `share` of object."""
    if not enough(cut.object, share):
        return None
    low, room = np.array(target.low), np.array(target.side) - np.array(cut.size)
    count = int(np.count_nonzero(cut.object))
    for first in below(drawn, low, low + room + 1):
        both = int(np.count_nonzero(target.object[slices(first, cut.size)] & cut.object))
        if both and both >= overlap * count:
            return first
    return None


def below(drawn: Floats, low: NDArray[np.int_], high: NDArray[np.int_]) -> Iterator[list[int]]:
    """As `placement.below`, row by row of `[attempts, rank]`: most often the first is taken."""
    count = np.maximum(high - low, 1).astype(drawn.dtype)
    for some in (drawn[:2], drawn[2:]):
        yield from (low + np.minimum(np.floor(some * count), count - 1).astype(int)).tolist()


def enough(there: Mask, share: float) -> bool:
    count = int(np.count_nonzero(there))
    return count > 0 and count >= share * there.size
