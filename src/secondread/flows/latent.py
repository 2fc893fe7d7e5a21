"""Distributions behind a flow: what the latent variables follow.

Each takes z `[N, C, *S]` and a context, which is None or what the flow keeps of the image `[N, K, *S]`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.precision import full_precision

LOG_SCALE_FACTOR = 3.0
"""As in Glow's code: scales are exp(3 l), so that they move faster than the other parameters."""


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
        z = _at_least_float(z)
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


class LearnedGaussian(Latent):
    """An independent Gaussian per channel, mean and log standard deviation learned: Glow's `learntop`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(channels))
        self.log_deviation = nn.Parameter(torch.zeros(channels))

    def log_density_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        shape = (1, -1, *(1 for _ in z.shape[2:]))
        return _gaussian_map(z, self.mean.view(shape), self._log_deviation().view(shape))

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator,
        *,
        context: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        noise = torch.randn(*shape, generator=generator).to(self.mean)
        each = (1, -1, *(1 for _ in shape[2:]))
        deviation = temperature * self._log_deviation().exp()
        return self.mean.view(each) + deviation.view(each) * noise

    def _log_deviation(self) -> Tensor:
        return LOG_SCALE_FACTOR * self.log_deviation


class ConditionalGaussian(Latent):
    """The Gaussian of what leaves at a split, given what stays: Glow's learned split prior.

    Mean and log standard deviation of each value are a 3×3 convolution of the context, zero at the start,
    so that it starts as the standard normal. With `border`, the convolution sees one more channel that is
    1 beyond the edge and 0 inside.
    """

    def __init__(self, rank: int, context: int, channels: int, *, border: bool = True) -> None:
        super().__init__()
        self.rank, self.border = rank, border
        self.weight = nn.Parameter(torch.zeros(2 * channels, context + border, *(3,) * rank))
        self.bias = nn.Parameter(torch.zeros(2 * channels))
        self.log_scale = nn.Parameter(torch.zeros(2 * channels))

    def log_density_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        mean, log_deviation = self._given(context)
        return _gaussian_map(z, mean, log_deviation)

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator,
        *,
        context: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        mean, log_deviation = self._given(context)
        noise = torch.randn(*shape, generator=generator).to(mean)
        return mean + temperature * log_deviation.exp() * noise

    def _given(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if context is None:
            raise ValueError("a conditional prior needs its context")
        with full_precision(context):
            padded = functional.pad(_at_least_float(context), (1, 1) * self.rank)
            if self.border:
                edge = padded.new_ones((1, 1, *padded.shape[2:]))
                edge[(slice(None), slice(None), *(slice(1, -1) for _ in range(self.rank)))] = 0.0
                padded = torch.cat((padded, edge.expand(len(padded), -1, *padded.shape[2:])), dim=1)
            convolution = functional.conv2d if self.rank == 2 else functional.conv3d
            gain = torch.exp(LOG_SCALE_FACTOR * self.log_scale)
            weight = self.weight * gain.view(-1, *(1 for _ in self.weight.shape[1:]))
            found = convolution(padded, weight, self.bias * gain)
        mean, log_deviation = found.chunk(2, dim=1)
        return mean, log_deviation


def _gaussian_map(z: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """log N(z; mean, deviation^2) at each position, summed over channels."""
    squared = ((_at_least_float(z) - mean) * torch.exp(-log_deviation)).square()
    each = -0.5 * (squared + math.log(2 * math.pi)) - log_deviation
    return each.sum(dim=1, keepdim=True)


def _at_least_float(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
