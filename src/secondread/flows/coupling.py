"""One step of a flow: affine coupling, global affine, permutation of the channels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.by_rank import channels_last


class CouplingBlock(nn.Module):
    """Affine coupling with a soft clamp, then a global affine, then a fixed permutation of channels.

        a, b = 0.1 * subnet(x_1, condition)
        u    = (x_1, x_2 * exp(clamp * tanh(a)) + b)
        y    = P (scale * u + offset),    scale = 0.1 * softplus(s; beta=0.5), one per channel

    x_1 is the first half of the channels (the larger one where their number is odd). `clamp` = 2.0
    bounds each log-scale to ±2; the factor 0.1 keeps the start near the identity. The same function
    as FrEIA's AllInOneBlock with its defaults, which AE-FLOW uses (affine coupling: Dinh et
    al., Real NVP, ICLR 2017; global affine: Kingma and Dhariwal, Glow, NeurIPS 2018).

    Shapes: x `[N, channels, *S]`, condition `[N, condition_channels, *S]`, log-determinant per position
    `[N, 1, *S]` in nats (its sum over S is that of the whole map). The state stays in float32, also
    where the subnet runs in bfloat16.

    Args:
        subnet: `subnet(channels_in, channels_out) -> module`.
        generator: draws the permutation, which is kept as a buffer; None = torch's global one.
    """

    def __init__(
        self,
        channels: int,
        subnet: Callable[[int, int], nn.Module],
        *,
        condition_channels: int = 0,
        clamp: float = 2.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError("a coupling needs at least two channels")
        self.halves = (channels - channels // 2, channels // 2)
        self.clamp = clamp
        self.subnet = subnet(self.halves[0] + condition_channels, 2 * self.halves[1])
        self.scale_before_softplus = nn.Parameter(torch.full((channels,), 2 * math.log(math.exp(5.0) - 1)))
        self.offset = nn.Parameter(torch.zeros(channels))
        self.permutation: Tensor
        self.register_buffer("permutation", torch.randperm(channels, generator=generator))

    def scale(self) -> Tensor:
        """The global scale, `[channels]`, positive; 1 at the start."""
        return 0.1 * functional.softplus(self.scale_before_softplus, beta=0.5)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """y and the log-determinant per position."""
        rows = _channels_behind(x.float())
        first, second = rows.split(self.halves, dim=-1)
        log_scale, shift = self._coefficients(first, condition)
        u = torch.cat((first, torch.addcmul(shift, second, log_scale.exp())), dim=-1)
        scale = self.scale()
        y = self._permuted(torch.addcmul(self.offset, u, scale))
        log_determinant = log_scale.sum(dim=-1, keepdim=True) + scale.log().sum()
        return y, _channels_before(log_determinant)

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        """The x that `forward` takes to y."""
        u = _channels_behind(y.float()).index_select(-1, self.permutation.argsort())
        u = (u - self.offset) / self.scale()
        first, second = u.split(self.halves, dim=-1)
        log_scale, shift = self._coefficients(first, condition)
        return _channels_before(torch.cat((first, (second - shift) * (-log_scale).exp()), dim=-1))

    def _permuted(self, y: Tensor) -> Tensor:
        """`[N, *S, channels]` in the new order of channels, as `[N, channels, *S]`."""
        if torch.is_grad_enabled():
            return _channels_before(y).index_select(1, self.permutation)
        rows = y.reshape(-1, y.shape[-1])  # several times faster than index_select on more axes
        return _channels_before(rows.gather(1, self.permutation.expand_as(rows)).view(y.shape))

    def _coefficients(self, first: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """From the first half `[N, *S, channels]`; both come in that order."""
        given = _channels_before(first)
        given = given if condition is None else torch.cat((given, condition), dim=1)
        found = _channels_behind(self.subnet(channels_last(given)))
        a, b = (0.1 * found.float()).split(self.halves[1], dim=-1)
        return self.clamp * torch.tanh(a), b


def _channels_behind(x: Tensor) -> Tensor:
    """`[N, C, *S]` as `[N, *S, C]`, in which the state travels: in memory it is channels-last."""
    return x.movedim(1, -1)


def _channels_before(x: Tensor) -> Tensor:
    return x.movedim(-1, 1)
