"""From one small code back to maps in the shapes of an encoder's levels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from secondread.networks.by_rank import CONVOLUTION, channels_last
from secondread.networks.distillation.one_class_bottleneck import halvings_between
from secondread.networks.distillation.residual_block import (
    BlockForm,
    ResidualBlock,
    onto,
    start_as_residual_networks_do,
)


class MirroredDecoder(nn.Module):
    """A code `[N, C, *grid]` to maps `[N, channels[l], *grids[l]]`, finest first, once for each head.

    One stage of residual blocks for each level, from the coarsest on: the encoder backwards, a transposed
    convolution in the first block where the grid becomes finer (Deng and Li, CVPR 2022).

    Args:
        code: channels and grid of the code.
        blocks: of each stage, from the coarsest level on.
        heads: 0 gives the stages' own maps, which are not negative, as maps of a ResNet are not; each head
            is a 1×1 convolution for each level, which takes any sign (Guo et al., ReContrast, NeurIPS 2023).
    """

    def __init__(
        self,
        rank: int,
        code: tuple[int, tuple[int, ...]],
        channels: Sequence[int],
        grids: Sequence[tuple[int, ...]],
        *,
        form: BlockForm,
        squeeze: int,
        blocks: Sequence[int],
        heads: int = 0,
    ) -> None:
        super().__init__()
        if len(blocks) != len(channels):
            raise ValueError(f"blocks {tuple(blocks)}: give one number for each of {len(channels)} levels")
        self.grids = tuple(grids)
        width, before = code
        stages: list[nn.Module] = []
        for depth, wanted, grid in zip(blocks, reversed(channels), reversed(self.grids), strict=True):
            strides = [2 ** halvings_between(fine, coarse) for fine, coarse in zip(grid, before, strict=True)]
            steps = []
            for place in range(depth):
                moved = strides if place == 0 else None
                steps.append(
                    ResidualBlock(rank, width, wanted, form=form, squeeze=squeeze, strides=moved, up=True)
                )
                width = wanted
            stages.append(nn.Sequential(*steps))
            before = grid
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(
            nn.ModuleList(CONVOLUTION[rank](width, width, 1) for width in channels) for _ in range(heads)
        )
        start_as_residual_networks_do(self.heads)

    def forward(self, code: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        x, maps = channels_last(code), []
        for stage, grid in zip(self.stages, reversed(self.grids), strict=True):
            x = onto(stage(x), grid)
            maps.append(x)
        own = tuple(reversed(maps))
        if not len(self.heads):
            return (own,)
        return tuple(
            tuple(layer(x) for layer, x in zip(head, own, strict=True))  # type: ignore[call-overload]
            for head in self.heads
        )
