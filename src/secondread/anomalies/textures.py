"""Textures: drawn from noise where no images of textures are at hand, and random changes of their greys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secondread.anomalies.anomaly import between, per_image
from secondread.anomalies.patches import rotations

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
    turn = rotations(between(drawn[:, 6:], (-90, 90)), rank)
    clouds = torch.zeros(count, 1, *size, device=device)
    for number, cells in enumerate(fitting(size)[:OCTAVES]):
        grid = torch.rand(count, 1, *[cells + 1] * rank, generator=generator, device=generator.device)
        clouds += upsampled(grid.to(device), size) / 2**number
    clouds = stretched(clouds)
    along = [torch.linspace(-0.5, 0.5, length, device=device) for length in size]
    grid = torch.stack([axis.flatten() for axis in torch.meshgrid(along, indexing="ij")])
    coordinate = (turn[:, :1] @ grid).view(count, 1, *size)
    waves, bend = between(drawn[:, 1], (2, min(size) / 6)), between(drawn[:, 2], (0, 4))
    phase = per_image(waves, rank) * coordinate + per_image(bend, rank) * clouds
    levels = per_image(between(drawn[:, 3], (2, 6)).floor(), rank)
    grain = torch.rand(count, 1, *size, generator=generator, device=generator.device).to(device)
    kinds = (
        clouds,
        (2 * torch.pi * phase).sin(),
        (clouds * levels).floor().minimum(levels - 1),
        grain + clouds,
    )
    chosen = per_image((drawn[:, 0] * KINDS).floor(), rank)
    found = torch.zeros_like(clouds)
    for number, kind in enumerate(kinds):
        found = torch.where(chosen == number, kind, found)
    return stretched(found)


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


def changed_greys(x: Tensor, generator: torch.Generator, number: int) -> Tensor:
    """`number` of six changes in each image, values in [0, 1]: power, brightness, solarise, few greys,
    inversion, equalised histogram; in this order."""
    rank, count = x.dim() - 2, len(x)
    drawn = torch.rand(count, CHANGES + 5, generator=generator, device=generator.device).to(x.device)
    chosen = drawn[:, :CHANGES].argsort(dim=1).argsort(dim=1) < number
    own = [per_image(column, rank) for column in drawn[:, CHANGES:].unbind(dim=1)]
    power = between(own[0], (-1, 1)).mul(torch.log(torch.tensor(2.0))).exp()
    levels = between(own[4], (4, 17)).floor()
    edge = between(own[3], (0.125, 0.5))

    def where(change: int, then: Tensor, otherwise: Tensor) -> Tensor:
        return torch.where(per_image(chosen[:, change], rank), then, otherwise)

    x = where(0, x.clamp(0, 1) ** power, x)
    x = where(1, (x * between(own[1], (0.8, 1.2)) + between(own[2], (-0.12, 0.12))).clamp(0, 1), x)
    x = where(2, torch.where(x > edge, 1 - x, x), x)
    x = where(3, (x * levels).floor().minimum(levels - 1) / (levels - 1), x)
    x = where(4, 1 - x, x)
    if not bool(chosen[:, 5].any()):
        return x
    x = x.clone()
    some = x[chosen[:, 5]].flatten(1)
    ranks = torch.searchsorted(some.sort(dim=1).values, some, right=True)
    x[chosen[:, 5]] = (ranks / some.shape[1]).to(x.dtype).view(-1, *x.shape[1:])
    return x
