"""The networks of the interpolated Gaussian descriptor: encoder, decoder, critic of interpolations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from secondread.networks.adversarial.residual import ResidualGenerator, ResidualTower


class DescriptorEncoder(nn.Module):
    """`[N, channels, *size]` to `[N, latent]`: a residual tower to `hidden` numbers, and a linear layer."""

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        *,
        width: int,
        blocks: int,
        hidden: int,
        latent: int,
    ) -> None:
        super().__init__()
        self.body = ResidualTower(rank, channels, size, hidden, width=width, blocks=blocks)
        self.last = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.last(self.body(x))
        return z.float()


class DescriptorDecoder(ResidualGenerator):
    """`[N, latent]` to images `[N, channels, *size]`, without a bound."""

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks(self.start(z).unflatten(1, self.start_shape))
        image: Tensor = self.last(self.norm(x).relu())
        return image.float()


class InterpolationCritic(ResidualTower):
    """Images to `[N]` in (0, 1): how far one is from the nearer end of the line that it was decoded from."""

    norm = "layer"

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], *, width: int = 64, blocks: int = 4
    ) -> None:
        super().__init__(rank, channels, size, 1, width=width, blocks=blocks)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, 0].float().sigmoid()
