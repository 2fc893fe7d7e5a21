"""Distributions behind a flow: what the latent variables follow.

Each takes z `[N, C, *S]` and a context, which is None or what the flow keeps of the image `[N, K, *S]`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Latent(nn.Module):
    """What a distribution of latent variables must offer."""

    def log_density_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """log p at each position, summed over channels: `[N, C, *S]` to `[N, 1, *S]`, nats, float32."""
        raise NotImplementedError

    def log_density(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """log p of the whole map, `[N]`, nats."""
        return self.log_density_map(z, context).flatten(1).sum(dim=1)

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator,
        *,
        context: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """z of this shape; every standard deviation is multiplied by `temperature`."""
        raise NotImplementedError


class UnitGaussian(Latent):
    """The standard normal distribution over every channel and position, independent."""

    def log_density_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        z = at_least_float(z)
        return -0.5 * z.square().sum(dim=1, keepdim=True) - 0.5 * z.shape[1] * math.log(2 * math.pi)

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator,
        *,
        context: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        return temperature * torch.randn(*shape, generator=generator)


def at_least_float(x: Tensor) -> Tensor:
    """x in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()
