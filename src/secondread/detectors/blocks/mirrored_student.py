"""A student that has to give an encoder's maps from a small code of them: bottleneck and mirrored decoder."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.feature_maps import FeatureMaps
from secondread.networks.distillation.mirrored_decoder import MirroredDecoder
from secondread.networks.distillation.one_class_bottleneck import OneClassBottleneck
from secondread.networks.distillation.residual_block import BlockForm
from secondread.settings.base import Layers, Settings


class StudentSettings(Settings):
    """The defaults are the paper's, for levels of a Wide-ResNet-50-2."""

    form: BlockForm = Field("bottleneck", description="of its residual blocks; basic: two 3×3 convolutions")
    squeeze: int = Field(
        2, ge=1, le=64, description="bottleneck: its channels / those of its 3×3 convolution"
    )
    code_blocks: Layers = Field(3, description="residual blocks that make the code")
    blocks: tuple[Layers, ...] = Field(
        (3, 4, 6),
        min_length=1,
        max_length=64,
        description="of the decoder, for each level, coarsest first; one number is for all",
    )


class MirroredStudent(nn.Module):
    """Levels' maps, finest first, to a code and back: for each head maps in the levels' shapes, finest first.
    Without heads, one tuple of maps that are not negative. See `networks.distillation`."""

    def __init__(self, settings: StudentSettings, maps: FeatureMaps, *, heads: int) -> None:
        super().__init__()
        rank, levels = len(maps.size), len(maps.channels)
        blocks = settings.blocks * levels if len(settings.blocks) == 1 else settings.blocks
        if len(blocks) != levels:
            raise ValueError(
                f"student.blocks {list(blocks)}: the encoder gives {levels} levels; give as many, or one"
            )
        self.bottleneck = OneClassBottleneck(
            rank, maps.channels, maps.grids,
            form=settings.form, squeeze=settings.squeeze, blocks=settings.code_blocks,
        )  # fmt: skip
        self.decoder = MirroredDecoder(
            rank, (self.bottleneck.channels, self.bottleneck.grid), maps.channels, maps.grids,
            form=settings.form, squeeze=settings.squeeze, blocks=blocks, heads=heads,
        )  # fmt: skip

    def forward(self, maps: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        given: tuple[tuple[Tensor, ...], ...] = self.decoder(self.bottleneck(maps))
        return given
