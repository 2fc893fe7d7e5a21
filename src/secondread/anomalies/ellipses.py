"""Ellipses and ellipsoids with a soft edge: where smooth anomalies lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from secondread.anomalies.anomaly import per_image
from secondread.anomalies.placement import Box, positions


def turned_anyhow(generator: torch.Generator, count: int, rank: int, device: torch.device) -> Tensor:
    """Orthogonal `[count, rank, rank]`, each direction of the axes as likely."""
    turns = torch.randn(count, rank, rank, generator=generator, device=generator.device)
    return torch.linalg.qr(turns.cpu()).Q.to(device)


def ellipse_distance(centre: Tensor, radii: Tensor, axes: Tensor, box: Box, size: Sequence[int]) -> Tensor:
    """Distance from the centre in half-axes, 1 on the ellipse: float32 `[N, 1, *size]`.

    centre `[N, rank]` in positions; radii `[N, rank]`, the half-axes as shares of the box's sides; axes
    `[N, rank, rank]`, their directions.
    """
    scaled = axes / radii[..., None] / box.side.clamp_min(1)[:, None]
    rank = len(size)
    offsets = [
        position - per_image(centre[:, axis], rank)
        for axis, position in enumerate(positions(size, centre.device))
    ]
    square = torch.zeros(len(centre), 1, *size, device=centre.device)
    for own in range(rank):
        along = torch.zeros_like(square)
        for axis, offset in enumerate(offsets):
            along += per_image(scaled[:, own, axis], rank) * offset
        square += along.square_()
    return square.sqrt_()


def soft_edge(distance: Tensor, edge: Tensor | float) -> Tensor:
    """p(r) = 1 for r < 1 - e, 0 for r > 1 + e, ½ (1 + cos(π (r - 1 + e) / 2e)) between.

    It takes the place of `distance`.
    """
    way = distance.sub_(1).add_(edge).div_(2 * edge).clamp_(0, 1)
    return way.mul_(math.pi).cos_().add_(1).div_(2)
