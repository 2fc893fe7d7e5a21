"""Textures: drawn from noise where no images of textures are at hand, and random changes of their greys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secondread.anomalies.anomaly import between, per_image
from secondread.anomalies.patches import rotations, turned_offsets

KINDS = 4
"""Textures that are drawn: clouds, waves, steps, grain."""
OCTAVES = 3


def drawn_textures(
    generator: torch.Generator, count: int, size: Sequence[int], device: torch.device
) -> Tensor:
    """float32 `[count, 1, *size]`, each from 0 to 1; of each image one kind, each as likely.

    clouds  three octaves of random values on grids of points, interpolated linearly, of half the height each
    waves   sin of a turned coordinate, bent by the clouds: stripes and marble
    steps   clouds of few greys: patches with edges
    grain   independent noise with the clouds' mean
    """
    rank = len(size)
    planes = rank * (rank - 1) // 2
    drawn = torch.rand(count, 6 + planes, generator=generator, device=generator.device).to(device)
    found = clouds(generator, count, size, device)
    kind = (drawn[:, 0] * KINDS).long()
    waved, stepped, grained = (torch.nonzero(kind == number).flatten() for number in range(1, KINDS))

    def own(some: Tensor, column: int, limits: tuple[float, float]) -> Tensor:
        return per_image(between(drawn[some, column], limits), rank)

    turn = rotations(between(drawn[waved, 6:], (-90, 90)), rank)
    lengths = torch.tensor(size, dtype=torch.float32, device=device)
    middle = ((lengths - 1) / 2).expand(len(waved), -1)
    across = (turn[:, :1] / (lengths - 1).clamp_min(1)).transpose(1, 2)
    (coordinate,) = turned_offsets(middle, across, size)
    phase = coordinate.mul_(own(waved, 1, (2, min(size) / 6)))
    phase += own(waved, 2, (0, 4)) * found[waved]
    waves = phase.mul_(2 * torch.pi).sin_()
    levels = own(stepped, 3, (2, 6)).floor()
    steps = (found[stepped] * levels).floor_().minimum(levels - 1)
    grain = torch.rand(len(grained), 1, *size, generator=generator, device=generator.device).to(device)
    grain += found[grained]
    for some, made in ((waved, waves), (stepped, steps), (grained, grain)):
        found[some] = stretched(made)
    return found


def clouds(generator: torch.Generator, count: int, size: Sequence[int], device: torch.device) -> Tensor:
    """Three octaves of random values on grids of points, interpolated linearly, each of half the height of
    the one before: float32 `[count, 1, *size]`, each from 0 to 1.

    The points of a coarse grid are points of every finer one, so all octaves are added up on the finest.
    """
    rank = len(size)
    grids = [
        torch.rand(count, 1, *[cells + 1] * rank, generator=generator, device=generator.device).to(device)
        for cells in fitting(size)[:OCTAVES]
    ]
    finest = grids[-1].shape[2:]
    total = sum((upsampled(grid, finest) / 2**number for number, grid in enumerate(grids)), torch.zeros(()))
    return stretched(upsampled(total, size))


def upsampled(grid: Tensor, size: Sequence[int]) -> Tensor:
    """`[N, C, *S]` on a finer grid of the same corners, interpolated linearly. ValueError for other
    than two or three axes."""
    modes = {2: "bilinear", 3: "trilinear"}
    if len(size) not in modes:
        raise ValueError(f"textures are drawn for images of two or three axes, and these have {len(size)}")
    return functional.interpolate(grid, size=tuple(size), mode=modes[len(size)], align_corners=True)


def fitting(size: Sequence[int], powers: tuple[int, int] = (1, 5)) -> list[int]:
    """Powers of two, as many cells as an image may have along an axis: a cell has four positions or more.
    The least is given whether it fits or not."""
    room = min(size) // 4
    least, greatest = powers
    return [2**power for power in range(least, greatest + 1) if power == least or 2**power <= room]


def stretched(x: Tensor) -> Tensor:
    """Each image `[N, C, *S]` from 0 to 1; 0 where it is constant."""
    rank, flat = x.dim() - 2, x.flatten(1)
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    return (x - per_image(low, rank)) / per_image((high - low).clamp_min(1e-12), rank)


CHANGES = 6
GREYS = 256
"""Levels by which a histogram is equalised."""


def changed_greys(x: Tensor, generator: torch.Generator, number: int) -> Tensor:
    """`number` of six changes in each image, values in [0, 1]: power, brightness, solarise, few greys,
    inversion, equalised histogram (of 256 greys); in this order."""
    rank, count = x.dim() - 2, len(x)
    drawn = torch.rand(count, CHANGES + 5, generator=generator, device=generator.device).to(x.device)
    chosen = drawn[:, :CHANGES].argsort(dim=1).argsort(dim=1) < number
    own = [per_image(column, rank) for column in drawn[:, CHANGES:].unbind(dim=1)]
    power = between(own[0], (-1, 1)).mul(math.log(2)).exp()
    factor, shift = between(own[1], (0.8, 1.2)), between(own[2], (-0.12, 0.12))
    levels = between(own[4], (4, 17)).floor()
    edge = between(own[3], (0.125, 0.5))
    changes: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
        lambda part, some: part.clamp_(0, 1).pow_(power[some]),
        lambda part, some: part.mul_(factor[some]).add_(shift[some]).clamp_(0, 1),
        lambda part, some: torch.where(part > edge[some], 1 - part, part),
        lambda part, some: (part * levels[some]).floor_().minimum(levels[some] - 1) / (levels[some] - 1),
        lambda part, some: 1 - part,
        lambda part, some: equalised(part),
    )
    x = x.clone()
    for change, which in zip(changes, chosen.unbind(dim=1), strict=True):
        some = torch.nonzero(which).flatten()
        if len(some):
            x[some] = change(x[some], some).to(x.dtype)
    return x


def equalised(x: Tensor) -> Tensor:
    """Each value of each image `[N, C, *S]` in [0, 1] becomes the share of the image's values that are not
    above its grey, of 256 greys."""
    greys = (x.flatten(1) * (GREYS - 1)).round_().long()
    ones = torch.ones((), device=x.device).expand(greys.shape)
    counts = torch.zeros(len(x), GREYS, device=x.device).scatter_add_(1, greys, ones)
    return (counts.cumsum(dim=1) / greys.shape[1]).gather(1, greys).view(x.shape)
