"""Cosine distances of two maps, and gradients that leave out what is restored well already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from secondread.networks.precision import full_precision

CosineForm = Literal["flattened", "per_position"]


def cosine_distance_map(x: Tensor, y: Tensor) -> Tensor:
    """1 - cos over the channels at each position of two `[N, C, *S]`: `[N, 1, *S]` float32."""
    with full_precision(x):
        return 1 - cosine_similarity(x.float(), y.float(), dim=1).unsqueeze(1)


def cosine_distance(x: Tensor, y: Tensor, form: CosineForm, valid: Tensor | None = None) -> Tensor:
    """1 - cos of two `[N, C, *S]` for each image, `[N]` float32.

    form   flattened: of all channels and positions as one vector; per_position: mean over the positions of
           the distance over channels
    valid  `[N, 1, *S]`: the positions that count; None = all
    """
    if form == "per_position":
        distances = cosine_distance_map(x, y)
        if valid is None:
            return distances.flatten(1).mean(dim=1)
        return (distances * valid).flatten(1).sum(dim=1) / valid.flatten(1).sum(dim=1).clamp_min(1)
    with full_precision(x):
        x, y = x.float(), y.float()
        if valid is not None:
            x, y = x * valid, y * valid
        return 1 - cosine_similarity(x.flatten(1), y.flatten(1), dim=1)


def levels_distance(
    targets: Sequence[Tensor],
    students: Sequence[Tensor],
    form: CosineForm,
    valid: Sequence[Tensor | None] | None = None,
) -> Tensor:
    """The sum over levels of the batch's mean distance, a scalar. No gradient reaches the targets."""
    where = [None] * len(targets) if valid is None else valid
    distances = [
        cosine_distance(target.detach(), student, form, own).mean()
        for target, student, own in zip(targets, students, where, strict=True)
    ]
    return torch.stack(distances).sum()


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradients[0] * factor.to(gradients[0].dtype), None


def scale_gradient(x: Tensor, factor: Tensor) -> Tensor:
    """x as it is, whose gradient is multiplied by `factor`, of a shape that broadcasts to x's."""
    return _ScaledGradient.apply(x, factor)


def deviating(distances: Tensor, alpha: float, valid: Tensor | None = None) -> Tensor:
    """Where distances `[N, 1, *S]` are at least mean + alpha · standard deviation, of the batch's valid
    positions: bool. None of them where they are all alike and alpha is above 0."""
    seen = distances if valid is None else distances[valid]
    if seen.numel() < 2:
        return torch.ones_like(distances, dtype=torch.bool)
    return distances >= seen.mean() + alpha * seen.std()


def hardest(distances: Tensor, share: float, valid: Tensor | None = None) -> Tensor:
    """Where distances `[N, 1, *S]` are among the highest `share` of the batch's valid positions (at least
    one): bool."""
    seen = distances.flatten() if valid is None else distances[valid]
    if seen.numel() == 0:
        return torch.ones_like(distances, dtype=torch.bool)
    least = seen.topk(max(1, int(seen.numel() * share))).values[-1]
    return distances >= least


def spread(x: Tensor) -> Tensor:
    """The variance of the directions of `[N, C, *S]` over images and positions: 1 - |mean of x / |x||^2, a
    scalar from 0 (all look one way) to 1."""
    with full_precision(x):
        directions = normalize(x.detach().float(), dim=1)
        return 1 - directions.transpose(0, 1).flatten(1).mean(dim=1).square().sum()
