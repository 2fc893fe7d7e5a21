"""A residual network of any width that is trained on the normals themselves, for pictures and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field
from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, MAX_POOL, channels_last
from secondread.networks.distillation.residual_block import ResidualBlock, convolution, normalised
from secondread.networks.encoder import Encoder, EncoderSettings
from secondread.settings.base import Layers, Width


class ResidualSettings(EncoderSettings):
    """The defaults are those of ResNet-18."""

    name: str = "residual"
    width: Width = Field(64, description="channels of its first level; each further one has twice")
    blocks: Layers = Field(2, description="residual blocks of each level")


class ResidualEncoder(Encoder):
    """`[N, channels, *S]` in [0, 1] to maps of the levels `layer1` to `layer4`, of strides 4, 8, 16 and 32.

    A 7×7 convolution and a pool, each of stride 2, and levels of residual blocks of two 3×3 convolutions
    (7×7×7 and 3×3×3 in volumes), as ResNet-18 has them (He et al., Deep residual learning, CVPR 2016). What
    lies behind the last of the layers is not built. ValueError for a layer that it does not have.
    """

    Settings = ResidualSettings
    learns = True
    ranks = frozenset({2, 3})
    layers_by_stride: ClassVar = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}

    def __init__(
        self, rank: int, channels: int, layers: Sequence[str] = ("layer3",), *, width: int, blocks: int
    ) -> None:
        super().__init__()
        names = list(self.layers_by_stride.values())
        wrong = [layer for layer in layers if layer not in names]
        if wrong:
            raise ValueError(f"{self.kind()} has no layer {wrong[0]!r}; there are {', '.join(names)}")
        if list(layers) != sorted(set(layers)):
            raise ValueError(
                f"layers of {self.kind()} must be named once and in its order, not {tuple(layers)}"
            )
        self.layers = tuple(layers)
        self.stem = convolution(rank, channels, width, 7, (2,) * rank)
        self.norm = BATCH_NORM[rank](width)
        self.pool = MAX_POOL[rank](3, 2, 1)
        self.levels = nn.ModuleDict()
        previous, found = width, []
        for number, name in enumerate(names[: names.index(self.layers[-1]) + 1]):
            planes = width * 2**number
            level: list[nn.Module] = []
            for place in range(blocks):
                stride = 2 if number and not place else 1
                level.append(ResidualBlock(rank, previous, planes, form="basic", strides=(stride,) * rank))
                previous = planes
            self.levels[name] = nn.Sequential(*level)
            if name in self.layers:
                found.append(planes)
        self.channels = tuple(found)

    @classmethod
    def kind(cls) -> str:
        """Its name in a recipe."""
        return str(cls.Settings.model_fields["name"].default)

    @classmethod
    def build(
        cls,
        settings: EncoderSettings,
        rank: int,
        channels: int,
        *,
        layers: Sequence[str] | None,
        pretrained: bool,
    ) -> Self:
        assert isinstance(settings, ResidualSettings)
        chosen = layers or (settings.layer or cls.layers_by_stride[16],)
        return cls(rank, channels, chosen, width=settings.width, blocks=settings.blocks)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.pool(normalised(channels_last(2 * images - 1), self.stem, self.norm, relu=True))
        maps = []
        for name, level in self.levels.items():
            x = level(x)
            if name in self.layers:
                maps.append(x)
        return tuple(maps)
