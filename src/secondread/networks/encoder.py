"""What an encoder is: images to maps, and what a person may set about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor, nn
from torch.func import functional_call

from secondread.networks.cells import Cells, KnowsItsCells, followed_maps, on_meta, resample
from secondread.networks.on_meta.shapes_only import ShapesOnly
from secondread.settings.base import Settings, Side, Width

Colour = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
"""A number for each of red, green and blue."""
Deviations = Annotated[tuple[PositiveFloat, ...], Field(min_length=3, max_length=3)]
Axes = Annotated[tuple[Literal[0, 1, 2], ...], Field(min_length=1, max_length=3)]


class SliceSettings(Settings):
    """How an encoder of pictures reads a volume (`networks.slices`)."""

    axes: Axes = Field(
        (0,), description="slices are taken across these: 0 = axial, 1 = coronal, 2 = sagittal ones"
    )
    thickness: Side | None = Field(
        None,
        description="neighbouring slices in a cell; empty = as many as a cell has pixels within the slice",
    )
    pool: Literal["mean", "max"] = Field("mean", description="over the slices of a cell")

    @field_validator("axes")
    @classmethod
    def _each_once(cls, axes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(axes)) < len(axes):
            raise ValueError("names an axis twice")
        return axes


class EncoderSettings(Settings):
    """What the built-in encoders have. `conv` and `residual` are trained on the normals themselves; the
    others come with ImageNet weights, frozen unless a detector fine-tunes them. An encoder with settings of
    its own adds them in a subclass."""

    name: str = "squeezenet1_1"
    weights: str | None = Field(
        None,
        description="a .safetensors or .pth file or its folder; empty = the folder named by "
        "SECONDREAD_WEIGHTS; 'random' = untrained (tests)",
    )
    layer: str | None = Field(None, description="whose map is used; empty = the one of stride 16")
    imagenet_statistics: bool = Field(True, description="False scales to [-1, 1] instead (ablation)")
    batch_norm: Literal["eval", "train"] = Field("eval", description="train lets statistics drift (ablation)")
    width: Width = Field(16, description="conv: channels of its first layers")
    widest: Width = Field(128, description="conv: most channels of a layer")
    code: Width = Field(64, description="conv: channels of its map that the network gives")
    linear: int = Field(
        0,
        ge=0,
        le=1 << 16,
        description="conv: further channels, linear filters of each cell; stride^rank of them lose nothing",
    )
    stride: Literal[4, 8, 16] = Field(8, description="conv: image size / map size")
    slices: SliceSettings = Field(
        SliceSettings(), description="how a volume is read by an encoder that takes pictures alone"
    )


class Encoder(nn.Module):
    """Images `[N, channels, *S]` in [0, 1] to a tuple of maps `[N, C, *s]`.

    Settings          what a person may set
    learns            whether a detector trains it, on the normals; else it is frozen, with weights
    ranks             of the images that it takes
    layers_by_stride  its last layer of each stride, in rising order, for detectors that take several
    channels          of each map that it gives
    identity          what its maps follow from beside the images and its weights; set by whoever builds it

    >>> import secondread, torch
    >>> class Halves(secondread.Encoder):
    ...     channels = (1,)
    ...     def forward(self, images):
    ...         return (torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 2),)
    >>> [found.shape for found in Halves()(torch.zeros(1, 3, 8, 8))]
    [torch.Size([1, 1, 4, 4])]
    """

    Settings: ClassVar[type[EncoderSettings]] = EncoderSettings
    learns: ClassVar[bool] = False
    ranks: ClassVar[frozenset[int]] = frozenset({2})
    layers_by_stride: ClassVar[Mapping[int, str]] = {}
    channels: tuple[int, ...]
    identity: str

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
        """As settings say, for images of `rank` spatial axes and so many channels.

        layers      whose maps are wanted; None = the one of stride 16, or `settings.layer`
        pretrained  False reads no file

        Raises ValueError for what the encoder does not take.
        """
        raise NotImplementedError

    @classmethod
    def ranks_of(cls, settings: EncoderSettings) -> frozenset[int]:
        """The ranks of images that it takes as it is set."""
        return cls.ranks

    @classmethod
    def completed(cls, settings: EncoderSettings) -> EncoderSettings:
        """With what a bundle has to know to build the encoder without its files, where settings leave that to
        them. UserError where they are not there."""
        return settings


def map_sizes(encoder: nn.Module, channels: int, size: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The spatial sizes of the encoder's maps for images `[channels, *size]`, without computing them."""
    with ShapesOnly():
        maps = functional_call(encoder, on_meta(encoder), (torch.empty(1, channels, *size, device="meta"),))
    return tuple(tuple(m.shape[2:]) for m in maps)


def map_places(
    encoder: nn.Module, channels: int, size: Sequence[int]
) -> tuple[tuple[tuple[int, ...], ...], tuple[Cells, ...]]:
    """`map_sizes` and `cells_of`, by one walk through the encoder where it does not know its cells itself."""
    if isinstance(encoder, KnowsItsCells):
        return map_sizes(encoder, channels, size), encoder.map_cells(channels, size)
    return followed_maps(encoder, channels, size)


def chosen_channels(
    maps: Sequence[Tensor], chosen: Tensor, cells: Sequence[Cells], target: Cells, grid: tuple[int, ...]
) -> Tensor:
    """Some channels of several maps at the `grid` cells `target`: `[N, len(chosen), *grid]` float32.

    `chosen` counts through the maps' channels one map after another, in rising order. Each map has its
    `cells`; coarser maps are interpolated at the target's centres, finer ones averaged around them.
    """
    start, kept = 0, []
    for layer_map, places in zip(maps, cells, strict=True):
        end = start + layer_map.shape[1]
        layer_map = layer_map.index_select(1, chosen[(chosen >= start) & (chosen < end)] - start).float()
        kept.append(resample(layer_map, places, target, grid))
        start = end
    return torch.cat(kept, dim=1)
