"""From maps of several levels to one small code (Deng and Li, Reverse distillation, CVPR 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, channels_last
from secondread.networks.distillation.residual_block import (
    BlockForm,
    ResidualBlock,
    convolution,
    normalised,
    onto,
    start_as_residual_networks_do,
)


class OneClassBottleneck(nn.Module):
    """Maps `[N, channels[l], *grids[l]]`, finest first, to a code `[N, 2 · channels[-1], *grid]`.

    Every level but the last is brought to the last one's grid by 3×3 convolutions of stride 2, one for each
    halving and at least one for each level on the way, which take the widths of the levels that they pass,
    each with batch normalisation and ReLU. All are joined, and a stage of residual blocks gives the code, the
    first with stride 2. What only abnormal images have does not pass so narrow a place, that is the idea.

    channels, grid  of the code
    """

    def __init__(
        self,
        rank: int,
        channels: Sequence[int],
        grids: Sequence[tuple[int, ...]],
        *,
        form: BlockForm,
        squeeze: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self.last = tuple(grids[-1])
        self.paths = nn.ModuleList(
            _Path(rank, channels[level:], grids[level:]) for level in range(len(channels) - 1)
        )
        self.channels = 2 * channels[-1]
        strides = tuple(2 if length > 1 else 1 for length in self.last)
        self.grid = tuple(
            math.ceil(length / stride) for length, stride in zip(self.last, strides, strict=True)
        )
        joined = channels[-1] * len(channels)
        self.stage = nn.Sequential(
            *(
                ResidualBlock(
                    rank,
                    joined if place == 0 else self.channels,
                    self.channels,
                    form=form,
                    squeeze=squeeze,
                    strides=strides if place == 0 else None,
                )
                for place in range(blocks)
            )
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        brought = [
            onto(path(channels_last(x)), self.last) for path, x in zip(self.paths, maps[:-1], strict=True)
        ]
        code: Tensor = self.stage(torch.cat([*brought, channels_last(maps[-1])], dim=1))
        return code


class _Path(nn.Module):
    """From the first of some levels to the grid and width of the last."""

    def __init__(self, rank: int, channels: Sequence[int], grids: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels[0]
        for level in range(1, len(channels)):
            halvings = [halvings_between(a, b) for a, b in zip(grids[level - 1], grids[level], strict=True)]
            for number in range(max(1, *halvings)):
                strides = [2 if number < count else 1 for count in halvings]
                layers.append(convolution(rank, width, channels[level], 3, strides))
                width = channels[level]
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(BATCH_NORM[rank](layer.out_channels) for layer in layers)
        start_as_residual_networks_do(self)

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = normalised(x, layer, norm, relu=True)
        return x


def halvings_between(fine: int, coarse: int) -> int:
    """How often a length is halved to become another, at least 0 times."""
    return max(0, round(math.log2(fine / coarse)))
