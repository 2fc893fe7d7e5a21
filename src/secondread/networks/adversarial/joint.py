"""The networks of ALI and BiGAN: an encoder and a generator that mirrors it, and a critic of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, convolution, transposed_convolution

Layer = tuple[int, int, int]
"""Kernel, stride and channels of a convolution without padding."""
SLOPE, SPREAD = 0.02, 0.01
"""Of leaky ReLU below 0, and of the initial weights."""


def refuse_sizes_that_do_not_fit(size: Sequence[int], layers: Sequence[Layer]) -> None:
    """ValueError unless the convolutions bring every axis to exactly one position."""
    for side in size:
        length = side
        for kernel, stride, _ in layers:
            if length < kernel or (length - kernel) % stride:
                break
            length = (length - kernel) // stride + 1
        else:
            if length == 1:
                continue
        raise ValueError(
            f"layers: these convolutions do not bring {side} pixels to one position without rest; for each "
            "axis (length - kernel) / stride + 1 is the next length"
        )


class JointEncoder(nn.Module):
    """`[N, channels, *size]` to `[N, outputs]`: the convolutions, a 1x1 one as wide as the last, a linear
    end; batch normalisation and leaky ReLU between."""

    def __init__(self, rank: int, channels: int, layers: Sequence[Layer], outputs: int) -> None:
        super().__init__()
        norm = BATCH_NORM[rank]
        steps: list[nn.Module] = []
        for before, (kernel, stride, after) in _joined(channels, [*layers, (1, 1, layers[-1][2])]):
            steps += [
                convolution(rank, before, after, kernel, stride, bias=False),
                norm(after),
                nn.LeakyReLU(SLOPE),
            ]
        self.body = nn.Sequential(*steps)
        self.last = nn.Linear(layers[-1][2], outputs)
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.last(self.body(x).flatten(1))
        return code


class JointGenerator(nn.Module):
    """`[N, latent]` to images in [-1, 1]: the convolutions turned round, then a 1x1 one and tanh."""

    def __init__(self, rank: int, channels: int, layers: Sequence[Layer], latent: int) -> None:
        super().__init__()
        norm, before = BATCH_NORM[rank], latent
        steps: list[nn.Module] = []
        for kernel, stride, after in reversed(layers):
            steps += [
                transposed_convolution(rank, before, after, kernel, stride, bias=False),
                norm(after),
                nn.LeakyReLU(SLOPE),
            ]
            before = after
        self.rank = rank
        self.body = nn.Sequential(*steps)
        self.last = CONVOLUTION[rank](before, channels, 1)
        start(self)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.last(self.body(z.reshape(*z.shape, *[1] * self.rank))).tanh()
        return image


class JointCritic(nn.Module):
    """Pairs of image and latent to logits `[N]`.

    The convolutions over the image (batch normalisation on all but the first), two linear layers of twice
    their width over the latent, two of four times over both, one to the logit; leaky ReLU, and dropout before
    each layer but those of the image's body.
    """

    def __init__(
        self, rank: int, channels: int, layers: Sequence[Layer], latent: int, *, dropout: float = 0.2
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for number, (before, (kernel, stride, after)) in enumerate(_joined(channels, layers)):
            steps += [
                nn.Dropout(dropout),
                convolution(rank, before, after, kernel, stride, bias=number == 0),
                *([BATCH_NORM[rank](after)] if number else []),
                nn.LeakyReLU(SLOPE),
            ]
        top = layers[-1][2]
        self.of_image = nn.Sequential(*steps)
        self.of_latent = nn.Sequential(*_linear([latent, 2 * top, 2 * top], dropout))
        self.of_both = nn.Sequential(*_linear([3 * top, 4 * top, 4 * top], dropout))
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * top, 1))
        start(self)

    def features(self, x: Tensor, z: Tensor) -> Tensor:
        """The last hidden layer, `[N, F]`."""
        both: Tensor = self.of_both(torch.cat((self.of_image(x).flatten(1), self.of_latent(z)), dim=1))
        return both

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(x, z))[:, 0]
        return logits


def start(module: nn.Module) -> None:
    """Weights N(0, 0.01), biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            nn.init.normal_(part.weight, 0.0, SPREAD)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _joined(channels: int, layers: Sequence[Layer]) -> list[tuple[int, Layer]]:
    widths = [channels, *(layer[2] for layer in layers)]
    return list(zip(widths[:-1], layers, strict=True))


def _linear(widths: Sequence[int], dropout: float) -> list[nn.Module]:
    found: list[nn.Module] = []
    for before, after in pairwise(widths):
        found += [nn.Dropout(dropout), nn.Linear(before, after), nn.LeakyReLU(SLOPE)]
    return found
