"""The bias-free LeNet of Deep SVDD, and the decoder with which it is trained first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, MAX_POOL, TRANSPOSED_CONVOLUTION
from secondread.wording.sizes import times

EPSILON = 1e-4
"""Of batch normalisation."""


class LeNet(nn.Module):
    """`[N, C, *size]` to `[N, code]`, without a bias anywhere.

    For each of `widths` a convolution 5, batch normalisation without scale and offset, leaky ReLU and a
    maximum over 2 positions per axis; then a linear layer. With a bias or a bounded activation the network
    could give the same code for every image.

    `ValueError` for a size that does not halve so often.

    Source: L. Ruff et al., Deep one-class classification, ICML 2018, and the authors' code.
    """

    def __init__(
        self, rank: int, channels: int, size: Sequence[int], *, widths: Sequence[int], code: int
    ) -> None:
        super().__init__()
        halvings = len(widths)
        if len(size) != rank or any(length % 2**halvings or not length for length in size):
            raise ValueError(
                f"a LeNet of {halvings} widths takes sizes that are multiples of {2**halvings} along {rank} "
                f"axes, not {times(size)}"
            )
        self.grid = tuple(length // 2**halvings for length in size)
        steps: list[nn.Module] = []
        for before, after in zip((channels, *widths), widths, strict=False):
            steps += [
                CONVOLUTION[rank](before, after, 5, padding=2, bias=False),
                BATCH_NORM[rank](after, eps=EPSILON, affine=False),
                nn.LeakyReLU(),
                MAX_POOL[rank](2),
            ]
        self.maps = nn.Sequential(*steps)
        self.last = nn.Linear(widths[-1] * math.prod(self.grid), code, bias=False)
        with_leaky_gain(self.maps)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.maps(x).flatten(1))


class LeNetDecoder(nn.Module):
    """Codes `[N, code]` to images `[N, C, *size]` in [0, 1].

    The code, batch normalised, is taken as a map on the encoder's last grid, and leaky ReLU follows. For each
    width, from the last, there are a transposed convolution 5, batch normalisation, leaky ReLU and nearest
    neighbours twice as fine; then a transposed convolution to the image and a sigmoid. There is no bias, and
    batch normalisation has no scale and offset.

    `ValueError` for a code that does not fill the grid.
    """

    def __init__(
        self, rank: int, channels: int, grid: Sequence[int], *, widths: Sequence[int], code: int
    ) -> None:
        super().__init__()
        cells = math.prod(grid)
        if code % cells:
            raise ValueError(
                f"network.code is {code}, and the decoder takes it as a map of {times(grid)} cells; set a "
                f"multiple of {cells}, or more network.widths"
            )
        self.shape = (code // cells, *grid)
        self.norm = nn.BatchNorm1d(code, eps=EPSILON, affine=False)
        steps: list[nn.Module] = [nn.LeakyReLU()]
        for before, after in zip((self.shape[0], *widths[::-1]), widths[::-1], strict=False):
            steps += [
                TRANSPOSED_CONVOLUTION[rank](before, after, 5, padding=2, bias=False),
                BATCH_NORM[rank](after, eps=EPSILON, affine=False),
                nn.LeakyReLU(),
                nn.Upsample(scale_factor=2),
            ]
        steps += [TRANSPOSED_CONVOLUTION[rank](widths[0], channels, 5, padding=2, bias=False), nn.Sigmoid()]
        self.maps = nn.Sequential(*steps)
        with_leaky_gain(self.maps)

    def forward(self, code: Tensor) -> Tensor:
        return self.maps(self.norm(code).unflatten(1, self.shape))


def with_leaky_gain(network: nn.Module) -> None:
    """Weights of its convolutions anew, uniform as Glorot and Bengio have them, for leaky ReLU."""
    gain = nn.init.calculate_gain("leaky_relu")
    for module in network.modules():
        if isinstance(module, nn.modules.conv._ConvNd):
            nn.init.xavier_uniform_(module.weight, gain=gain)
