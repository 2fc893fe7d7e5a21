"""Distributions behind a flow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class UnitGaussian:
    """The standard normal distribution over every channel and position, independent."""

    def log_density_map(self, z: Tensor) -> Tensor:
        """log p at each position, summed over channels: `[N, C, *S]` to `[N, 1, *S]`, nats, float32."""
        z = z.float()
        return -0.5 * z.square().sum(dim=1, keepdim=True) - 0.5 * z.shape[1] * math.log(2 * math.pi)

    def log_density(self, z: Tensor) -> Tensor:
        """log p of the whole map, `[N]`, nats."""
        return self.log_density_map(z).flatten(1).sum(dim=1)

    def sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        return torch.randn(*shape, generator=generator)
