"""The residual generator and critic of WGAN-GP at 64x64, for images and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from secondread.networks.adversarial.grid import coarse_grid, enlarged
from secondread.networks.adversarial.normalisation import Norm, normalisation
from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, halved

WIDEST = 8
"""Of the widths, in multiples of the narrowest."""


class ResidualBlock(nn.Module):
    """`[N, before, *S]` to `[N, after, *T]`, T twice or half of S.

    Twice normalisation, ReLU and a 3x3 convolution. `up` doubles the grid (nearest) before the first of them,
    `down` takes means of 2x2 behind the second; the way past them is a 1x1 convolution, likewise.
    """

    def __init__(
        self,
        rank: int,
        before: int,
        after: int,
        resample: Literal["up", "down"],
        norm: Norm,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        convolution = CONVOLUTION[rank]
        self.up = resample == "up"
        between = after if self.up else before
        self.first_norm = normalisation(norm, rank, before)
        self.first = convolution(before, between, 3, padding=1, bias=False)
        self.second_norm = normalisation(norm, rank, between)
        self.second = convolution(between, after, 3, padding=1, bias=bias)
        self.past = convolution(before, after, 1, bias=bias)
        start(self.first, math.sqrt(2))
        start(self.second, math.sqrt(2))
        start(self.past)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first_norm(x).relu()
        h = self.first(enlarged(h) if self.up else h)
        h = self.second(self.second_norm(h).relu())
        if self.up:
            return h + self.past(enlarged(x))
        return halved(h) + self.past(halved(x))


class ResidualGenerator(nn.Module):
    """`[N, latent]` to images `[N, channels, *size]` in [-1, 1].

    A linear layer to the coarse grid (size / 2^blocks), `blocks` residual blocks with batch normalisation,
    each of which doubles the grid, batch normalisation, ReLU, a 3x3 convolution and tanh. Widths in multiples
    of `width`: with 4 blocks 8, then 8, 4, 2, 1.

    Source: I. Gulrajani et al., Improved training of Wasserstein GANs, NIPS 2017, and the code of f-AnoGAN.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        *,
        width: int = 64,
        latent: int = 128,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        widths = [width * min(WIDEST, 2**level) for level in range(blocks, -1, -1)]
        self.start_shape = (widths[0], *coarse_grid("the residual network", size, rank, blocks))
        self.start = nn.Linear(latent, math.prod(self.start_shape))
        self.blocks = nn.Sequential(
            *(ResidualBlock(rank, before, after, "up", "batch") for before, after in pairwise(widths))
        )
        self.norm = BATCH_NORM[rank](width)
        self.last = CONVOLUTION[rank](width, channels, 3, padding=1)
        start(self.start)
        start(self.last, math.sqrt(2))

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks(self.start(z).unflatten(1, self.start_shape))
        image: Tensor = self.last(self.norm(x).relu()).tanh()
        return image


class ResidualTower(nn.Module):
    """Images `[N, channels, *size]` to `[N, outputs]`; `features` gives what the last layer sees.

    A 3x3 convolution to `width`, `blocks` residual blocks, each of which halves the grid, and a linear layer.
    Widths in multiples of `width`: with 4 blocks 2, 4, 8, 8. f-AnoGAN's encoder is such a tower.
    """

    norm: Norm = "batch"
    constants = True
    """Whether the last block and the last layer add their biases."""

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        outputs: int,
        *,
        width: int = 64,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        widths = [width * min(WIDEST, 2**level) for level in range(blocks + 1)]
        grid = coarse_grid("the residual network", size, rank, blocks)
        self.first = CONVOLUTION[rank](channels, width, 3, padding=1)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(
                    rank, before, after, "down", self.norm, bias=self.constants or level < blocks - 1
                )
                for level, (before, after) in enumerate(pairwise(widths))
            )
        )
        self.last = nn.Linear(widths[-1] * math.prod(grid), outputs, bias=self.constants)
        start(self.first)
        start(self.last)

    def features(self, x: Tensor) -> Tensor:
        """`[N, F]`."""
        return self.blocks(self.first(x)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.features(x))
        return scores


class ResidualCritic(ResidualTower):
    """The same with layer normalisation and one output, `[N, 1]`.

    A Wasserstein distance is a difference of two means of the output, and features are compared by their
    difference: whatever adds a constant to them has no gradient. So the biases of the last block and the last
    layer, which the published code has, are left out.
    """

    norm = "layer"
    constants = False

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], *, width: int = 64, blocks: int = 4
    ) -> None:
        super().__init__(rank, channels, size, 1, width=width, blocks=blocks)


def start(layer: nn.Module, gain: float = 1.0) -> None:
    """Uniform weights of variance 2 gain^2 / (inputs + outputs), and a bias of 0."""
    nn.init.xavier_uniform_(layer.weight, gain)  # type: ignore[arg-type]
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
