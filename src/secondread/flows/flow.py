"""A normalizing flow on maps: coupling blocks one after another, before a latent distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.flows.coupling import CouplingBlock
from secondread.flows.latent import Latent, UnitGaussian
from secondread.flows.subnets import ConvSubnet, ResNetSubnet


class Flow(nn.Module):
    """z = f(x), with log p(x) = log p(z) + log |det dz/dx|, in 2-D and 3-D by rank.

    Args:
        rank: of the map, so that x is `[N, channels, *S]` with `len(S) == rank`.
        blocks: number of coupling blocks.
        subnet: "conv", of width `hidden`, or "resnet" (see `flows.subnets`).
        positions: None, or the S for which a learned embedding of each position, `[embedding, *S]`,
            is given to every subnet, so that the density may differ from place to place.
        latent: p(z), the distribution of z; None = N(z; 0, I).
        generator: draws the permutations; None = torch's global one.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        *,
        blocks: int = 8,
        subnet: Literal["conv", "resnet"] = "conv",
        hidden: int = 256,
        clamp: float = 2.0,
        positions: Sequence[int] | None = None,
        embedding: int = 8,
        latent: Latent | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()

        def make_subnet(channels_in: int, channels_out: int) -> nn.Module:
            if subnet == "resnet":
                return ResNetSubnet(rank, channels_in, channels_out)
            return ConvSubnet(rank, channels_in, channels_out, hidden)

        self.latent = UnitGaussian() if latent is None else latent
        self.positions: nn.Parameter | None = None
        if positions is not None:
            self.positions = nn.Parameter(torch.randn(1, embedding, *positions, generator=generator))
        self.blocks = nn.ModuleList(
            CouplingBlock(
                channels,
                make_subnet,
                condition_channels=0 if positions is None else embedding,
                clamp=clamp,
                generator=generator,
            )
            for _ in range(blocks)
        )

    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z `[N, C, *S]` and the log-determinant at each position `[N, 1, *S]`, nats, float32."""
        condition = self._condition(x)
        z = x.float()
        total = torch.zeros_like(z[:, :1])
        for block in self.blocks:
            z, log_determinant = block(z, condition)
            total = total + log_determinant
        return z, total

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and the log-determinant of the whole map, `[N]`."""
        z, log_determinant = self.transform(x)
        return z, log_determinant.flatten(1).sum(dim=1)

    def inverse(self, z: Tensor) -> Tensor:
        """The x that `forward` takes to z."""
        condition = self._condition(z)
        x = z.float()
        for block in reversed(self.blocks):
            assert isinstance(block, CouplingBlock)
            x = block.inverse(x, condition)
        return x

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x), `[N]`, nats."""
        z, log_determinant = self(x)
        return self.latent.log_density(z) + log_determinant

    def _condition(self, x: Tensor) -> Tensor | None:
        if self.positions is None:
            return None
        if x.shape[2:] != self.positions.shape[2:]:
            raise ValueError(
                f"this flow knows positions {tuple(self.positions.shape[2:])}, not {tuple(x.shape[2:])}"
            )
        return self.positions.expand(len(x), *self.positions.shape[1:])
