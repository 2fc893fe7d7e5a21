"""A normalizing flow on maps: coupling blocks one after another, before a latent distribution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.flows.compiled_coupling.run import compiled_transform
from secondread.flows.coupling import CouplingBlock, MakeSubnet
from secondread.flows.elementwise import Elementwise
from secondread.flows.latent import Latent, UnitGaussian
from secondread.flows.subnets import ConvSubnet, ResNetSubnet


class Flow(nn.Module):
    """z = f(x), with log p(x) = log p(z) + log |det dz/dx|, in 2-D and 3-D by rank.

    Args:
        rank: of the map, so that x is `[N, channels, *S]` with `len(S) == rank`; 0 for rows `[N, channels]`.
        blocks: number of coupling blocks.
        subnet: "conv", of width `hidden`, or "resnet" (see `flows.subnets`), or makers of subnets, which
            the blocks take in turn.
        elementwise: what the couplings do to each number (`flows.elementwise`); None = affine.
        mixing: of the channels behind each coupling (`flows.coupling`).
        positions: None, or the S for which a learned embedding of each position, `[embedding, *S]`,
            is given to every subnet, so that the density may differ from place to place.
        condition_channels: of a condition `[N, condition_channels, *S]` that every subnet is given as well,
            and then every call: the density is p(x | condition). Not beside `positions`.
        latent: p(z), the distribution of z; None = N(z; 0, I).
        generator: draws what mixes the channels; None = torch's global one.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        *,
        blocks: int = 8,
        subnet: Literal["conv", "resnet"] | Sequence[MakeSubnet] = "conv",
        hidden: int = 256,
        elementwise: Elementwise | None = None,
        mixing: Literal["permutation", "rotation"] = "permutation",
        positions: Sequence[int] | None = None,
        embedding: int = 8,
        condition_channels: int = 0,
        latent: Latent | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if positions is not None and condition_channels:
            raise ValueError("a flow has an embedding of positions or a given condition, not both")
        makers: Sequence[MakeSubnet]
        if subnet == "resnet":
            makers = (partial(ResNetSubnet, rank),)
        elif subnet == "conv":
            makers = (partial(ConvSubnet, rank, hidden=hidden),)
        else:
            makers = subnet
        self.latent = UnitGaussian() if latent is None else latent
        self.positions: nn.Parameter | None = None
        if positions is not None:
            self.positions = nn.Parameter(torch.randn(1, embedding, *positions, generator=generator))
        self.blocks = nn.ModuleList(
            CouplingBlock(
                channels,
                makers[number % len(makers)],
                condition_channels=condition_channels if positions is None else embedding,
                elementwise=elementwise,
                mixing=mixing,
                generator=generator,
            )
            for number in range(blocks)
        )

    def transform(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z `[N, C, *S]` and the log-determinant at each position `[N, 1, *S]`, nats, float32."""
        condition = self._condition(x, condition)
        z = x.float()
        compiled = compiled_transform(self.blocks, z) if condition is None else None
        if compiled is not None:
            return compiled
        total = torch.zeros_like(z[:, :1])
        for block in self.blocks:
            z, log_determinant = block(z, condition)
            total = total + log_determinant
        return z, total

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z and the log-determinant of the whole map, `[N]`."""
        z, log_determinant = self.transform(x, condition)
        return z, log_determinant.flatten(1).sum(dim=1)

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The x that `forward` takes to z."""
        condition = self._condition(z, condition)
        x = z.float()
        for block in reversed(self.blocks):
            assert isinstance(block, CouplingBlock)
            x = block.inverse(x, condition)
        return x

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(x), `[N]`, nats."""
        z, log_determinant = self(x, condition)
        return self.latent.log_density(z) + log_determinant

    def log_density_map(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The terms of log p(x) by position, `[N, 1, *S]`, nats; their sum is `log_density`."""
        z, log_determinant = self.transform(x, condition)
        return self.latent.log_density_map(z) + log_determinant

    def _condition(self, x: Tensor, given: Tensor | None) -> Tensor | None:
        if self.positions is None:
            return given
        if x.shape[2:] != self.positions.shape[2:]:
            raise ValueError(
                f"this flow knows positions {tuple(self.positions.shape[2:])}, not {tuple(x.shape[2:])}"
            )
        return self.positions.expand(len(x), *self.positions.shape[1:])
