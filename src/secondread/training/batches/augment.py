"""Small random changes to training images, drawn first as data, then applied.

Image i of an epoch draws from its own seed, so the draw does not depend on the batch or the process.

flip       mirror along the last axis, with probability 1/2
rotate     in the plane of the last two axes by U(-d, d) degrees, d the stage's `rotation`
shift      along each axis by U(-5, 5) % of its length
intensity  x -> x * g + b, g from U(0.9, 1.1), b from U(-0.05, 0.05)

What moves in from outside repeats the border; in the valid mask it is not valid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

ROTATION_DEGREES = 10.0
SHIFT = 0.05
GAIN = 0.1
OFFSET = 0.05


@dataclass(frozen=True)
class Draw:
    """One image's changes. shift: share of each axis's length."""

    flip: bool
    degrees: float
    shift: tuple[float, ...]
    gain: float
    offset: float


def draw(kinds: Sequence[str], rank: int, seed: int, rotation: float = ROTATION_DEGREES) -> Draw:
    """One image's changes of these kinds; `rotation`: the largest turn, in degrees."""
    rng = np.random.default_rng(seed)
    flip, degrees = bool(rng.random() < 0.5), float(rng.uniform(-rotation, rotation))
    shift = tuple(float(value) for value in rng.uniform(-SHIFT, SHIFT, size=rank))
    gain, offset = float(rng.uniform(1 - GAIN, 1 + GAIN)), float(rng.uniform(-OFFSET, OFFSET))
    return Draw(
        flip="flip" in kinds and flip,
        degrees=degrees if "rotate" in kinds else 0.0,
        shift=shift if "shift" in kinds else (0.0,) * rank,
        gain=gain if "intensity" in kinds else 1.0,
        offset=offset if "intensity" in kinds else 0.0,
    )


def apply(images: Tensor, valid: Tensor | None, draws: Sequence[Draw]) -> tuple[Tensor, Tensor | None]:
    """images `[N, C, *spatial]`, valid `[N, 1, *spatial]` or None, one draw per image."""
    valid = None if valid is None else apply_to_mask(valid, draws)
    images = _flip(images, draws)
    if _moves(draws):
        grid = _grid(draws, images)
        images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if any(d.gain != 1.0 or d.offset != 0.0 for d in draws):
        shape = (-1,) + (1,) * (images.ndim - 1)
        gain = images.new_tensor([d.gain for d in draws]).view(shape)
        offset = images.new_tensor([d.offset for d in draws]).view(shape)
        images = images * gain + offset
    return images, valid


def apply_to_mask(mask: Tensor, draws: Sequence[Draw]) -> Tensor:
    """A mask, bool `[N, 1, *spatial]`, moved as `apply` moves its images: by the nearest pixel, and False
    where it moves in from outside."""
    mask = _flip(mask, draws)
    if not _moves(draws):
        return mask
    values = mask.float()
    moved = functional.grid_sample(values, _grid(draws, values), mode="nearest", align_corners=False)
    return moved > 0.5


def _flip(images: Tensor, draws: Sequence[Draw]) -> Tensor:
    flipped = torch.tensor([d.flip for d in draws], device=images.device)
    if not bool(flipped.any()):
        return images
    return torch.where(flipped.view((-1,) + (1,) * (images.ndim - 1)), images.flip(-1), images)


def _moves(draws: Sequence[Draw]) -> bool:
    return any(d.degrees or any(d.shift) for d in draws)


def _grid(draws: Sequence[Draw], images: Tensor) -> Tensor:
    theta = torch.stack([_affine(d, images.shape[2:]) for d in draws]).to(images)
    return functional.affine_grid(theta, list(images.shape), align_corners=False)


def _affine(d: Draw, size: Sequence[int]) -> Tensor:
    """The matrix `[rank, rank + 1]` that `affine_grid` takes: axes last to first, in half lengths."""
    rank = len(size)
    matrix = torch.eye(rank, rank + 1)
    cosine, sine = math.cos(math.radians(d.degrees)), math.sin(math.radians(d.degrees))
    rows, columns = size[-2], size[-1]
    matrix[0, 0], matrix[0, 1] = cosine, -sine * rows / columns
    matrix[1, 0], matrix[1, 1] = sine * columns / rows, cosine
    for axis in range(rank):
        matrix[rank - 1 - axis, rank] = 2 * d.shift[axis]
    return matrix
