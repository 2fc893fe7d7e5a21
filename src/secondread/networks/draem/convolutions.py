"""What both networks of DRAEM are made of, and how their weights begin."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, INTERPOLATION, MAX_POOL
from secondread.networks.convolution3 import convolution3
from secondread.networks.convolution3.fused_convolution import FusedSequence

WIDEST = 8
"""Channels of the deeper levels, in widths."""
DEVIATION = 0.02


def convolutions(rank: int, *channels: int) -> FusedSequence:
    """From each number of channels to the next: 3×3 convolution, batch normalisation, ReLU."""
    steps: list[nn.Module] = []
    for before, after in pairwise(channels):
        steps += [
            convolution3(rank, before, after),
            BATCH_NORM[rank](after),
            nn.ReLU(inplace=True),
        ]
    return FusedSequence(*steps)


def enlarged(rank: int, before: int, after: int) -> nn.Sequential:
    """Twice the size by linear interpolation, corners on corners, and one convolution."""
    larger = nn.Upsample(scale_factor=2, mode=INTERPOLATION[rank], align_corners=True)
    return nn.Sequential(larger, *convolutions(rank, before, after))


class Encoder(nn.Module):
    """`[N, channels, *size]` to one map per level, of `width` times 1, 2, 4, 8, 8 … channels, each level half
    the size of the one before by the maximum of 2×2."""

    def __init__(self, rank: int, channels: int, width: int, poolings: int) -> None:
        super().__init__()
        self.widths = [width * min(2**level, WIDEST) for level in range(poolings + 1)]
        self.levels = nn.ModuleList(
            convolutions(rank, before, after, after)
            for before, after in zip((channels, *self.widths), self.widths, strict=False)
        )
        self.pool = MAX_POOL[rank](2)

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for level in self.levels:
            x = level(self.pool(x) if found else x)
            found.append(x)
        return found


def narrowed(widths: Sequence[int]) -> list[int]:
    """Channels that a decoder has on each level but the deepest, the deepest of them first: those of the
    level above."""
    return [widths[max(level - 1, 0)] for level in range(len(widths) - 2, -1, -1)]


def begin(network: nn.Module) -> None:
    """Weights of convolutions from N(0, 0.02²), of normalisations from N(1, 0.02²), whose shifts are 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.normal_(module.weight, 0.0, DEVIATION)
        elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.normal_(module.weight, 1.0, DEVIATION)
            nn.init.zeros_(module.bias)
