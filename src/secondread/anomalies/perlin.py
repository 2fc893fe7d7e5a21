"""Perlin's gradient noise in images and volumes, of another grid of cells and another turn in each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secondread.anomalies.anomaly import per_image
from secondread.anomalies.patches import turned_offsets
from secondread.anomalies.placement import positions
from secondread.networks.precision import full_precision

AT_ONCE = 1 << 16
"""Positions that are computed together, so that they stay in the processor's cache."""


def perlin(
    generator: torch.Generator, size: Sequence[int], cells: Tensor, turns: Tensor, most: int
) -> Tensor:
    """float32 `[N, 1, *size]`, in [-1, 1], 0 on average and at the corners of the cells.

        n(u) = 2/√d Σ over the corners k of u's cell  Π_i w(u_i, k_i) · g_k · (u - k)
        w = f(t) at a cell's upper end and 1 - f(t) at its lower, f(t) = 6t⁵ - 15t⁴ + 10t³

    with unit vectors g_k in any direction, which repeat after the image's cells.

    cells  whole numbers `[N, d]`, cells along each axis, at most `most`
    turns  `[N, d, d]`, rotation of the grid of cells about the image's middle

    Source: K. Perlin, Improving noise, SIGGRAPH 2002, with vectors of any direction as DRAEM's code has them.
    """
    rank, count, device = len(size), len(cells), cells.device
    vectors = torch.randn(count, rank, most**rank, generator=generator, device=generator.device).to(device)
    vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-6)
    table = _corners(vectors.view(count, rank, *[most] * rank), cells)
    found = torch.empty(count, 1, *size, device=device)
    at_once = max(1, AT_ONCE // math.prod(size))
    for start in range(0, count, at_once):
        some = slice(start, start + at_once)
        found[some] = _noise(size, table[some], cells[some], turns[some])
    return found


def _corners(vectors: Tensor, cells: Tensor) -> Tensor:
    """g_k and g_k · k at the corners of all cells and their far ends: `[N, d + 1, most + 1, …]`."""
    most = vectors.shape[2]
    ends = torch.arange(most + 1, dtype=torch.float32, device=cells.device)
    for axis in range(cells.shape[1]):
        shape = [len(cells), 1, *[1] * cells.shape[1]]
        shape[2 + axis] = most + 1
        index = ends.remainder(cells[:, axis : axis + 1]).long().view(shape)
        wanted = [*vectors.shape]
        wanted[2 + axis] = most + 1
        vectors = vectors.gather(2 + axis, index.expand(wanted))
    products = torch.zeros_like(vectors[:, :1])
    for axis, place in enumerate(positions(vectors.shape[2:], cells.device)):
        products += vectors[:, axis : axis + 1] * place
    return torch.cat((vectors, products), dim=1)


def _noise(size: Sequence[int], table: Tensor, cells: Tensor, turns: Tensor) -> Tensor:
    """Σ w_k g_k · (u - k) is u · Σ w_k g_k - Σ w_k (g_k · k): two means of what the corners have, which are
    interpolated linearly at floor(u) + f(t)."""
    rank, most = len(size), table.shape[2] - 1
    lengths = torch.tensor(size, dtype=torch.float32, device=cells.device)
    middle = ((lengths - 1) / 2).expand(len(cells), -1)
    scaled = turns * (cells / lengths)[..., None]
    places, sample = [], []
    for axis, away in enumerate(turned_offsets(middle, scaled.transpose(1, 2), size)):
        period = per_image(cells[:, axis], rank)
        place = away.add_(period / 2)
        place -= (place / period).floor_().mul_(period)
        low = place.floor()
        part = place - low
        fade = (6 * part).sub_(15).mul_(part).add_(10).mul_(part).mul_(part).mul_(part)
        places.append(place)
        sample.append(fade.add_(low).mul_(2 / most).sub_(1)[:, 0])
    grid = torch.stack(sample[::-1], dim=-1)
    with full_precision(grid):
        means = functional.grid_sample(table, grid, padding_mode="border", align_corners=True)
    found = -means[:, rank:]
    for axis, place in enumerate(places):
        found.addcmul_(place, means[:, axis : axis + 1])
    return found.mul_(2 / rank**0.5)
