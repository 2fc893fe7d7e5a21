"""Perlin's gradient noise in images and volumes, of another grid of cells and another turn in each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


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
    lengths = torch.tensor(size, dtype=torch.float32, device=device)
    along = [torch.arange(length, dtype=torch.float32, device=device) + 0.5 - length / 2 for length in size]
    grid = torch.stack([axis.flatten() for axis in torch.meshgrid(along, indexing="ij")])
    at = (turns @ grid + lengths[:, None] / 2) * (cells / lengths)[..., None]
    low = at.floor()
    part = at - low
    fade = part * part * part * (part * (6 * part - 15) + 10)
    ends = torch.stack([(low + end).remainder(cells[..., None]) for end in (0, 1)]).long()
    found = torch.zeros(count, grid.shape[1], device=device)
    for corner in product((0, 1), repeat=rank):
        index = torch.zeros_like(ends[0, :, 0])
        weight = torch.ones_like(found)
        for axis, end in enumerate(corner):
            index = index * most + ends[end, :, axis]
            weight *= fade[:, axis] if end else 1 - fade[:, axis]
        slope = torch.zeros_like(found)
        for axis, end in enumerate(corner):
            slope += vectors[:, axis].gather(1, index) * (part[:, axis] - end)
        found += weight * slope
    return (found * (2 / rank**0.5)).view(count, 1, *size)
