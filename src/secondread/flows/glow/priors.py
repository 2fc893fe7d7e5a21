"""Glow's learned priors: Gaussians of what leaves a level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secondread.flows.glow.coupling_net import LOG_SCALE_FACTOR
from secondread.flows.glow.planes import from_planes, neighbourhoods, scatter, to_planes
from secondread.flows.latent import Latent, at_least_float
from secondread.networks.precision import full_precision


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
        self.border = border
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
            gain = torch.exp(LOG_SCALE_FACTOR * self.log_scale)[:, None]
            matrix = torch.cat((self.weight.flatten(1), self.bias[:, None]), dim=1) * gain
            planes = to_planes(at_least_float(context))
            found = from_planes(_Convolution.apply(planes, matrix, self.border))
        mean, log_deviation = found.chunk(2, dim=1)
        return mean, log_deviation


class _Convolution(torch.autograd.Function):
    """The 3-wide convolution of planes `[C, N, *S]` whose weights are a matrix, last column the bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, border: bool) -> Tensor:
        ctx.save_for_backward(x, matrix)
        ctx.border = border
        gathered = neighbourhoods(x, border=border, ones=True)
        return (matrix @ gathered).view(len(matrix), *x.shape[1:])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, matrix = ctx.saved_tensors
        gathered = neighbourhoods(x, border=ctx.border, ones=True)
        flat = gradient.flatten(1)
        to_x = None
        if ctx.needs_input_grad[0]:
            inputs = len(x) * 3 ** (x.dim() - 2)
            to_x = scatter(matrix[:, :inputs].t() @ flat, x.shape[1], tuple(x.shape[2:]), x.dtype)
        return to_x, flat @ gathered.t(), None


def _gaussian_map(z: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """log N(z; mean, deviation^2) at each position, summed over channels."""
    squared = ((at_least_float(z) - mean) * torch.exp(-log_deviation)).square()
    each = -0.5 * (squared + math.log(2 * math.pi)) - log_deviation
    return each.sum(dim=1, keepdim=True)
