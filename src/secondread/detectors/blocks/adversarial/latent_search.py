"""The latent whose image lies nearest, searched by gradient for each image (AnoGAN)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from secondread.settings.base import Draws, Settings

Terms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From latents `[M, …]` and the rows of the images that they are for: R and F, `[M]` each."""
BETAS, TINY = (0.9, 0.999), 1e-8
"""Adam's."""


class SearchSettings(Settings):
    """The defaults are AnoGAN's, one start apart from which further ones cost as much again."""

    steps: Draws = 500
    rate: PositiveFloat = 0.1
    restarts: int = Field(
        1, ge=1, le=100, description="random starts for each image, of which the best counts"
    )


def misfit(
    x: Tensor,
    image: Tensor,
    wanted: Tensor,
    features: Callable[[Tensor], Tensor],
    valid: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """R = sum over (valid) pixels of |x - image| and F = sum of |wanted - features(image)|: `[M]` each."""
    difference = (x - image.float()).abs()
    if valid is not None:
        difference = difference * valid
    distance = (wanted.float() - features(image).float()).abs()
    return difference.flatten(1).sum(dim=1), distance.flatten(1).sum(dim=1)


def nearest_latents(
    terms: Terms, starts: Tensor, share: float, settings: SearchSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """z `[N, …]` of the lowest (1 - share) R + share F over starts `[N, restarts, …]`, and its R and F `[N]`.

    Each start takes `steps` steps of Adam by itself.
    """
    count, restarts = starts.shape[:2]
    rows = torch.arange(count, device=starts.device).repeat_interleave(restarts)
    z = starts.detach().flatten(0, 1).float()
    mean, square = torch.zeros_like(z), torch.zeros_like(z)

    def loss(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        residual, distance = terms(z, rows)
        return (1 - share) * residual + share * distance, residual, distance

    for step in range(1, settings.steps + 1):
        with torch.enable_grad():
            z = z.requires_grad_()
            (gradient,) = torch.autograd.grad(loss(z)[0].sum(), z)
        with torch.no_grad():
            mean = mean.lerp(gradient, 1 - BETAS[0])
            square = square.lerp(gradient.square(), 1 - BETAS[1])
            size = (square / (1 - BETAS[1] ** step)).sqrt() + TINY
            z = z - settings.rate * mean / (1 - BETAS[0] ** step) / size
    with torch.no_grad():
        whole, residual, distance = (values.view(count, restarts) for values in loss(z))
        best = whole.argmin(dim=1)
        each = torch.arange(count, device=z.device)
        return z.view(starts.shape)[each, best], residual[each, best], distance[each, best]
