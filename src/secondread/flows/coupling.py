"""One step of a flow: coupling, global affine, and a fixed mixing of the channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.flows.elementwise import Affine, Elementwise
from secondread.networks.by_rank import channels_last
from secondread.networks.precision import full_precision

MakeSubnet = Callable[[int, int], nn.Module]
"""`make(channels_in, channels_out)`: the network inside a coupling."""


class CouplingBlock(nn.Module):
    """A coupling, then a global affine, then a fixed mixing of the channels.

        h = subnet(x_1, condition)
        u = (x_1, phi(x_2; h))
        y = P (scale * u + offset),    scale = 0.1 * softplus(s; beta=0.5), one per channel

    x_1 is the first half of the channels (the larger one where their number is odd). phi is an increasing
    function of each number (`flows.elementwise`); with the affine one this is the function of FrEIA's
    AllInOneBlock with its defaults, which AE-FLOW and FastFlow use (global affine: Kingma and Dhariwal, Glow,
    NeurIPS 2018).

    P permutes the channels; with `mixing` "rotation" it is a random rotation, FrEIA's soft permutation,
    which CFLOW-AD uses. Either is drawn once and kept as a buffer, and |det P| = 1.

    Shapes: x `[N, channels, *S]`, condition `[N, condition_channels, *S]`, log-determinant per position
    `[N, 1, *S]` in nats (its sum over S is that of the whole map). S may be empty: rows `[N, channels]`.
    The state stays in float32, also where the subnet runs in bfloat16.

    Args:
        elementwise: phi; None = `Affine`, whose log-scales are bounded to ±2.
        generator: draws P; None = torch's global one.
    """

    def __init__(
        self,
        channels: int,
        subnet: MakeSubnet,
        *,
        condition_channels: int = 0,
        elementwise: Elementwise | None = None,
        mixing: Literal["permutation", "rotation"] = "permutation",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError("a coupling needs at least two channels")
        self.halves = (channels - channels // 2, channels // 2)
        self.elementwise = Affine() if elementwise is None else elementwise
        self.subnet = subnet(
            self.halves[0] + condition_channels, self.elementwise.coefficients * self.halves[1]
        )
        self.scale_before_softplus = nn.Parameter(torch.full((channels,), 2 * math.log(math.exp(5.0) - 1)))
        self.offset = nn.Parameter(torch.zeros(channels))
        self.permutation: Tensor | None
        self.rotation: Tensor | None
        rotates = mixing == "rotation"
        self.register_buffer(
            "permutation", None if rotates else torch.randperm(channels, generator=generator)
        )
        self.register_buffer("rotation", _rotation(channels, generator) if rotates else None)

    def scale(self) -> Tensor:
        """The global scale, `[channels]`, positive; 1 at the start."""
        return 0.1 * functional.softplus(self.scale_before_softplus, beta=0.5)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """y and the log-determinant per position."""
        rows = _channels_behind(x.float())
        first, second = rows.split(self.halves, dim=-1)
        changed, log_slope = self.elementwise(second, self._coefficients(first, condition))
        u = torch.cat((first, changed), dim=-1)
        scale = self.scale()
        y = self._mixed(torch.addcmul(self.offset, u, scale))
        log_determinant = log_slope.sum(dim=-1, keepdim=True) + scale.log().sum()
        return y, _channels_before(log_determinant)

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        """The x that `forward` takes to y."""
        u = self._unmixed(_channels_behind(y.float()))
        u = (u - self.offset) / self.scale()
        first, second = u.split(self.halves, dim=-1)
        restored = self.elementwise.inverse(second, self._coefficients(first, condition))
        return _channels_before(torch.cat((first, restored), dim=-1))

    def _mixed(self, y: Tensor) -> Tensor:
        """P y: `[N, *S, channels]` to `[N, channels, *S]`."""
        if self.rotation is not None:
            with full_precision(y):
                return _channels_before(y @ self.rotation.T)
        assert self.permutation is not None
        if torch.is_grad_enabled():
            return _channels_before(y).index_select(1, self.permutation)
        rows = y.reshape(-1, y.shape[-1])  # several times faster than index_select on more axes
        return _channels_before(rows.gather(1, self.permutation.expand_as(rows)).view(y.shape))

    def _unmixed(self, y: Tensor) -> Tensor:
        """P^-1 y, `[N, *S, channels]`."""
        if self.rotation is not None:
            with full_precision(y):
                return y @ self.rotation
        assert self.permutation is not None
        return y.index_select(-1, self.permutation.argsort())

    def _coefficients(self, first: Tensor, condition: Tensor | None) -> Tensor:
        """h from the first half `[N, *S, channels]`; it comes in that order, in float32."""
        given = _channels_before(first)
        given = given if condition is None else torch.cat((given, condition), dim=1)
        return _channels_behind(self.subnet(channels_last(given))).float()


def _rotation(channels: int, generator: torch.Generator | None) -> Tensor:
    """Uniform among the orthogonal matrices of determinant 1, `[channels, channels]` float32."""
    q, r = torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64))
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.det(q).sign()
    return q.float()


def _channels_behind(x: Tensor) -> Tensor:
    """`[N, C, *S]` as `[N, *S, C]`, in which the state travels: in memory it is channels-last."""
    return x.movedim(1, -1)


def _channels_before(x: Tensor) -> Tensor:
    return x.movedim(-1, 1)
