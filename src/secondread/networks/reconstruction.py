"""The autoencoder that the reconstruction methods share, for images and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, TRANSPOSED_CONVOLUTION
from secondread.networks.memory import Memory

HALVINGS = 4


class Autoencoder(nn.Module):
    """`[N, C, *size]` to `[N, channels_out, *size]` by way of `latent` numbers.

    Encoder: four convolutions of width 4 and stride 2 to `width`, 2, 4 and 4 times `width` channels, each
    with batch normalisation and ReLU; a linear layer to `hidden`, batch normalisation, ReLU; a linear layer
    to `latent`. The decoder mirrors it with transposed convolutions. The last layer has neither
    normalisation nor activation; convolutions have no bias. Sizes are multiples of 16.

    Source: Cai et al., MedIAnomaly, Medical Image Analysis 2025 (hidden 1024); Cai et al., Dual-distribution
    discrepancy, Medical Image Analysis 2023 (hidden 2048).
    """

    numbers_per_latent = 1
    """That the encoder gives for each latent number."""

    def __init__(
        self,
        rank: int,
        channels: int,
        channels_out: int,
        size: Sequence[int],
        *,
        width: int = 16,
        hidden: int = 2048,
        latent: int = 16,
    ) -> None:
        super().__init__()
        if len(size) != rank or any(length % 2**HALVINGS or not length for length in size):
            raise ValueError(
                f"the autoencoder takes sizes that are multiples of {2**HALVINGS} along {rank} axes, "
                f"not {tuple(size)}"
            )
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.latent = latent
        self.map_shape = (widths[-1], *(length // 2**HALVINGS for length in size))
        norm = BATCH_NORM[rank]
        down: list[nn.Module] = []
        for before, after in zip((channels, *widths), widths, strict=False):
            down += [CONVOLUTION[rank](before, after, 4, 2, 1, bias=False), norm(after), nn.ReLU()]
        self.encoder = nn.Sequential(*down)
        self.to_latent, self.from_latent = self.bottleneck(rank, hidden, latent)
        up: list[nn.Module] = []
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [TRANSPOSED_CONVOLUTION[rank](before, after, 4, 2, 1, bias=False), norm(after), nn.ReLU()]
        up.append(TRANSPOSED_CONVOLUTION[rank](width, channels_out, 4, 2, 1, bias=False))
        self.decoder = nn.Sequential(*up)

    def bottleneck(self, rank: int, hidden: int, latent: int) -> tuple[nn.Module, nn.Module]:
        """From the encoder's map, flattened, to the latent numbers, and back."""
        cells = math.prod(self.map_shape)
        return (
            nn.Sequential(
                nn.Linear(cells, hidden),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Linear(hidden, self.numbers_per_latent * latent),
            ),
            nn.Sequential(
                nn.Linear(latent, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, cells)
            ),
        )

    def encode(self, x: Tensor) -> Tensor:
        """`[N, C, *size]` to `[N, latent]`."""
        return self.to_latent(self.encoder(x).flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """`[N, latent]` to `[N, channels_out, *size]`."""
        return self.decoder(self.from_latent(z).unflatten(1, self.map_shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class MemoryAutoencoder(Autoencoder):
    """An autoencoder whose decoder sees a weighted mean of learned slots in place of the latent numbers.

    Returns the image and the weights of the slots, `[N, slots]`. See `networks.memory`.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        channels_out: int,
        size: Sequence[int],
        *,
        width: int = 16,
        hidden: int = 2048,
        latent: int = 16,
        slots: int = 25,
        shrink: float = 0.0,
    ) -> None:
        super().__init__(rank, channels, channels_out, size, width=width, hidden=hidden, latent=latent)
        self.memory = Memory(slots, latent, shrink)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        read, addresses = self.memory(self.encode(x))
        return self.decode(read), addresses


class SpatialAutoencoder(Autoencoder):
    """An autoencoder that keeps places: its code is a map, `[N, latent, *size / 16]`.

    In place of the linear layers are 1×1 convolutions without bias: to `hidden` channels, batch
    normalisation, ReLU, to `latent` channels; and the same back (Cai et al., MedIAnomaly, hidden 1024).
    """

    def bottleneck(self, rank: int, hidden: int, latent: int) -> tuple[nn.Module, nn.Module]:
        one, norm, width = CONVOLUTION[rank], BATCH_NORM[rank], self.map_shape[0]

        def through(before: int, after: int) -> nn.Sequential:
            return nn.Sequential(
                one(before, hidden, 1, bias=False), norm(hidden), nn.ReLU(), one(hidden, after, 1, bias=False)
            )

        return through(width, latent), through(latent, width)

    def encode(self, x: Tensor) -> Tensor:
        """`[N, C, *size]` to `[N, latent, *size / 16]`."""
        return self.to_latent(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        """The other way, to `[N, channels_out, *size]`."""
        return self.decoder(self.from_latent(z))
