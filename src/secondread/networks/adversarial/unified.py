"""The encoder, decoder and critic that the brain MRI study has for all its methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from secondread.networks.adversarial.grid import coarse_grid
from secondread.networks.adversarial.normalisation import Norm, normalisation
from secondread.networks.by_rank import CONVOLUTION, TRANSPOSED_CONVOLUTION

SLOPE = 0.3
NARROWING = 8
"""Of the channels by the 1x1 convolution before the code."""


def down(rank: int, channels: int, widths: Sequence[int], norm: Norm) -> nn.Sequential:
    """5x5 convolutions of stride 2, each with a normalisation and leaky ReLU."""
    steps: list[nn.Module] = []
    for before, after in pairwise([channels, *widths]):
        steps += [
            CONVOLUTION[rank](before, after, 5, 2, 2),
            normalisation(norm, rank, after),
            nn.LeakyReLU(SLOPE),
        ]
    return nn.Sequential(*steps)


def widths_down(width: int, widest: int, halvings: int) -> list[int]:
    return [min(widest, width * 2**level) for level in range(halvings)]


class UnifiedEncoder(nn.Module):
    """`[N, channels, *size]` to `[N, outputs]`: the convolutions, a 1x1 one to an eighth of the channels, a
    linear layer.

    Source: C. Baur et al., Autoencoders for unsupervised anomaly segmentation in brain MR images, Medical
    Image Analysis 2021, and its code (which pads a border more on one side than on the other; here both are
    alike).
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        outputs: int,
        *,
        width: int = 32,
        widest: int = 128,
        halvings: int = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        grid = coarse_grid("the encoder", size, rank, halvings)
        widths = widths_down(width, widest, halvings)
        narrow = max(1, widths[-1] // NARROWING)
        self.body = down(rank, channels, widths, norm)
        self.narrow = CONVOLUTION[rank](widths[-1], narrow, 1)
        self.last = nn.Linear(narrow * math.prod(grid), outputs)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.last(self.narrow(self.body(x)).flatten(1))
        return code


class UnifiedDecoder(nn.Module):
    """`[N, latent]` to `[N, channels, *size]`: the same turned round, from `widest` down to `width` channels,
    and a 1x1 convolution without activation. `dropout` is behind the linear layer."""

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        latent: int,
        *,
        width: int = 32,
        widest: int = 128,
        halvings: int = 3,
        norm: Norm = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        top = widths_down(width, widest, halvings)[-1]
        narrow = max(1, top // NARROWING)
        self.shape = (narrow, *coarse_grid("the decoder", size, rank, halvings))
        self.first = nn.Sequential(nn.Linear(latent, math.prod(self.shape)), nn.Dropout(dropout))
        steps: list[nn.Module] = [
            CONVOLUTION[rank](narrow, top, 1),
            normalisation(norm, rank, top),
            nn.ReLU(),
        ]
        before = top
        for level in range(halvings):
            after = max(width, widest // 2**level)
            steps += [
                TRANSPOSED_CONVOLUTION[rank](before, after, 5, 2, 2, output_padding=1),
                normalisation(norm, rank, after),
                nn.LeakyReLU(SLOPE),
            ]
            before = after
        steps.append(CONVOLUTION[rank](before, channels, 1))
        self.body = nn.Sequential(*steps)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.body(self.first(z).unflatten(1, self.shape))
        return image


class UnifiedCritic(nn.Module):
    """Images to one value at each position of the coarse grid, `[N, 1, *grid]`: the encoder's convolutions
    with each image normalised by itself, and a linear layer over channels. A bias of that layer would cancel
    in every difference of values, so it has none."""

    def __init__(
        self,
        rank: int,
        channels: int,
        *,
        width: int = 32,
        widest: int = 128,
        halvings: int = 3,
    ) -> None:
        super().__init__()
        widths = widths_down(width, widest, halvings)
        self.body = down(rank, channels, widths, "layer")
        self.last = CONVOLUTION[rank](widths[-1], 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.last(self.body(x))
        return values


def code_critic(latent: int, hidden: int) -> nn.Sequential:
    """A critic of codes: `[N, latent]` to `[N, 1]` by way of two hidden layers; no bias that would cancel."""
    return nn.Sequential(
        nn.Linear(latent, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, 1, bias=False),
    )
