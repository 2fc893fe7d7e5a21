"""A variational autoencoder of convolutions alone, for images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from secondread.networks.by_rank import CONVOLUTION, TRANSPOSED_CONVOLUTION
from secondread.networks.one_place import from_one_place, to_one_place


class ConvolutionalVAE(nn.Module):
    """`[N, C, *size]` to mean and log-variance of `latent` numbers, and back.

    Encoder: a convolution of width 4 and stride 2 to each of `widths`, then one over the whole map that is
    left, to mean and log-deviation. Decoder: the same backwards with transposed convolutions. LeakyReLU after
    all but the last of each; no normalisation, no biases. Sizes are multiples of 2 to the number of widths.

    Source: D. Zimmerer et al., code MIC-DKFZ/vae-anomaly-experiments (16, 32, 64, 256 by default) and the
    ceVAE of MIC-DKFZ/mood (16, 64, 256, 1024).
    """

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], *, widths: Sequence[int], latent: int
    ) -> None:
        super().__init__()
        part = 2 ** len(widths)
        if len(size) != rank or any(length % part or not length for length in size):
            raise ValueError(
                f"the variational autoencoder halves its images {len(widths)} times, so it takes sizes that "
                f"are multiples of {part} along {rank} axes, not {tuple(size)}"
            )
        self.latent, one = latent, (1,) * rank
        left = tuple(length // part for length in size)
        down, up = CONVOLUTION[rank], TRANSPOSED_CONVOLUTION[rank]
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            layers += [down(before, after, 4, 2, 1, bias=False), nn.LeakyReLU()]
        self.encoder = nn.Sequential(*layers, to_one_place(rank, widths[-1], 2 * latent, left, bias=False))
        layers = [
            nn.Unflatten(1, (latent, *one)),
            from_one_place(rank, latent, widths[-1], left, bias=False),
            nn.LeakyReLU(),
        ]
        for before, after in pairwise(reversed(widths)):
            layers += [up(before, after, 4, 2, 1, bias=False), nn.LeakyReLU()]
        self.decoder = nn.Sequential(*layers, up(widths[0], channels, 4, 2, 1, bias=False))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each `[N, latent]` float32."""
        mean, log_deviation = self.encoder(x).float().flatten(1).chunk(2, dim=1)
        return mean, 2 * log_deviation

    def decode(self, z: Tensor) -> Tensor:
        """`[N, latent]` to `[N, C, *size]`."""
        image: Tensor = self.decoder(z)
        return image

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])
