"""Ellipses and ellipsoids with a soft edge: where smooth anomalies lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies
from secondread.anomalies.patches import turned_offsets
from secondread.anomalies.placement import Box


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
    square = torch.zeros(len(centre), 1, *size, device=centre.device)
    for along in turned_offsets(centre, scaled.transpose(1, 2), size):
        square += along.square_()
    return square.sqrt_()


def soft_edge(distance: Tensor, edge: Tensor | float) -> Tensor:
    """p(r) = 1 for r < 1 - e, 0 for r > 1 + e, ½ (1 + cos(π (r - 1 + e) / 2e)) between.

    It takes the place of `distance`.
    """
    way = distance.sub_(1).add_(edge).div_(2 * edge).clamp_(0, 1)
    return way.mul_(math.pi).cos_().add_(1).div_(2)


def as_far_as_it_shows(
    images: Tensor,
    changed: Tensor,
    mask: Tensor,
    profile: Tensor,
    least: Tensor,
    target: Literal["mask", "profile"],
) -> Anomalies:
    """What was changed by a soft-edged profile, `[N, 1, *S]`, within a mask. The target, 1 where the profile
    is at least half, or the profile itself, is there alone where some channel differs by `least`."""
    change = (changed - images).abs().amax(dim=1, keepdim=True)
    seen = mask & (change >= least)
    learnt = (profile >= 0.5).float() if target == "mask" else profile
    return Anomalies(torch.where(mask, changed, images), mask, learnt * seen)
