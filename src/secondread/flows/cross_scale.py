"""A flow on maps of several scales at once, whose couplings look at neighbouring scales (CS-Flow)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.flows.latent import UnitGaussian
from secondread.networks.by_rank import channels_last, convolution, resize

SLOPE = 0.1
"""Of the subnets' leaky ReLU."""
TO_ONE = 0.636
"""2 / pi, as the authors' code has it: the clamp's arctangent ends at this times pi / 2."""

Maps = Sequence[Tensor]
"""One map of each scale, from the finest, `[N, C, *S_l]`."""


class CrossScaleSubnet(nn.Module):
    """From one map of each scale to another, by what the scales beside it show.

        a_l = leaky(conv(x_l))
        y_l = gamma_l (conv(a_l) + down(a_{l-1}) + up(a_{l+1}))

    `down` is a convolution of stride 2, `up` one of the map interpolated to the finer grid. Each gamma is
    one number, 0 at the start. All convolutions have this kernel and pad it. Where grids do not halve
    exactly, what comes down is interpolated to its grid.
    """

    def __init__(
        self, rank: int, scales: int, channels_in: int, channels_out: int, hidden: int, kernel: int
    ) -> None:
        super().__init__()

        def several(count: int, first: int, last: int, stride: int = 1) -> nn.ModuleList:
            return nn.ModuleList(
                convolution(rank, first, last, kernel, stride, kernel // 2) for _ in range(count)
            )

        self.first = several(scales, channels_in, hidden)
        self.last = several(scales, hidden, channels_out)
        self.down = several(scales - 1, hidden, channels_out, stride=2)
        self.up = several(scales - 1, hidden, channels_out)
        self.gamma = nn.Parameter(torch.zeros(scales))

    def forward(self, maps: Maps) -> list[Tensor]:
        hidden = [
            functional.leaky_relu(layer(channels_last(x)), SLOPE)
            for layer, x in zip(self.first, maps, strict=True)
        ]
        found = [layer(a) for layer, a in zip(self.last, hidden, strict=True)]
        sizes = [tuple(a.shape[2:]) for a in hidden]
        for finer, (down, up) in enumerate(zip(self.down, self.up, strict=True)):
            found[finer] = found[finer] + up(resize(hidden[finer + 1], sizes[finer]))
            found[finer + 1] = found[finer + 1] + resize(down(hidden[finer]), sizes[finer + 1])
        return [gamma * y.float() for gamma, y in zip(self.gamma, found, strict=True)]


class CrossScaleBlock(nn.Module):
    """A permutation of each scale's channels, then an affine coupling of each half by the other.

        s, t = subnet_2(x_2),  y_1 = exp(c(s)) x_1 + t
        s, t = subnet_1(y_1),  y_2 = exp(c(s)) x_2 + t,   c(s) = 0.636 clamp arctan(s / clamp)

    on the maps of all scales at once. Glow's coupling in FrEIA's form. Log-determinants are by position,
    `[N, 1, *S_l]` nats. With the subnets' gammas at 0 a fresh block only permutes. The state is float32.
    """

    def __init__(
        self, rank: int, channels: int, *, scales: int = 3, hidden: int, kernel: int, clamp: float = 3.0
    ) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError("a coupling needs at least two channels")
        self.halves = (channels // 2, channels - channels // 2)
        self.clamp = clamp
        first, second = self.halves
        self.subnet_1 = CrossScaleSubnet(rank, scales, first, 2 * second, hidden, kernel)
        self.subnet_2 = CrossScaleSubnet(rank, scales, second, 2 * first, hidden, kernel)
        self.permutations: Tensor
        self.register_buffer("permutations", torch.stack([torch.randperm(channels) for _ in range(scales)]))

    def forward(self, maps: Maps) -> tuple[list[Tensor], list[Tensor]]:
        """The maps, and the log-determinants by position."""
        mixed = [x.float().index_select(1, order) for x, order in zip(maps, self.permutations, strict=True)]
        firsts, seconds = self._halved(mixed)
        firsts, log_first = self._coupled(firsts, self.subnet_2(seconds))
        seconds, log_second = self._coupled(seconds, self.subnet_1(firsts))
        joined = [torch.cat(pair, dim=1) for pair in zip(firsts, seconds, strict=True)]
        return joined, [a + b for a, b in zip(log_first, log_second, strict=True)]

    def inverse(self, maps: Maps) -> list[Tensor]:
        """The maps that `forward` takes to these."""
        firsts, seconds = self._halved([x.float() for x in maps])
        seconds = self._uncoupled(seconds, self.subnet_1(firsts))
        firsts = self._uncoupled(firsts, self.subnet_2(seconds))
        return [
            torch.cat(pair, dim=1).index_select(1, order.argsort())
            for *pair, order in zip(firsts, seconds, self.permutations, strict=True)
        ]

    def _halved(self, maps: Maps) -> tuple[list[Tensor], list[Tensor]]:
        halves = [x.split(self.halves, dim=1) for x in maps]
        return [first for first, _ in halves], [second for _, second in halves]

    def _coupled(self, maps: Maps, coefficients: Maps) -> tuple[list[Tensor], list[Tensor]]:
        made, logs = [], []
        for x, found in zip(maps, coefficients, strict=True):
            log_scale, shift = self._read(found)
            made.append(torch.addcmul(shift, x, log_scale.exp()))
            logs.append(log_scale.sum(dim=1, keepdim=True))
        return made, logs

    def _uncoupled(self, maps: Maps, coefficients: Maps) -> list[Tensor]:
        read = [self._read(found) for found in coefficients]
        return [(y - shift) * (-log_scale).exp() for y, (log_scale, shift) in zip(maps, read, strict=True)]

    def _read(self, found: Tensor) -> tuple[Tensor, Tensor]:
        s, t = found.chunk(2, dim=1)
        return self.clamp * TO_ONE * torch.atan(s / self.clamp), t


class CrossScaleFlow(nn.Module):
    """Blocks one after another; `kernels` has the kernel of each. The latent maps are standard normal."""

    def __init__(
        self,
        rank: int,
        channels: int,
        *,
        scales: int = 3,
        hidden: int = 1024,
        kernels: Sequence[int] = (3, 3, 3, 5),
        clamp: float = 3.0,
    ) -> None:
        super().__init__()
        self.latent = UnitGaussian()
        self.blocks = nn.ModuleList(
            CrossScaleBlock(rank, channels, scales=scales, hidden=hidden, kernel=kernel, clamp=clamp)
            for kernel in kernels
        )

    def transform(self, maps: Maps) -> tuple[list[Tensor], list[Tensor]]:
        """z of each scale, `[N, C, *S_l]`, and the log-determinants by position, `[N, 1, *S_l]`, nats."""
        z = [x.float() for x in maps]
        totals = [torch.zeros_like(x[:, :1]) for x in z]
        for block in self.blocks:
            z, logs = block(z)
            totals = [total + log for total, log in zip(totals, logs, strict=True)]
        return z, totals

    def inverse(self, z: Maps) -> list[Tensor]:
        """The maps that `transform` takes to z."""
        maps = list(z)
        for block in reversed(self.blocks):
            assert isinstance(block, CrossScaleBlock)
            maps = block.inverse(maps)
        return maps
