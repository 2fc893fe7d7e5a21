"""Maps of several levels of an encoder, pooled to one vector per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import AnyEncoderSettings, layers_of_strides
from secondread.networks.by_rank import area_resize
from secondread.networks.encoder import EncoderSettings
from secondread.settings.base import Settings
from secondread.wording.sizes import times

Grids = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=8)]
"""Cells per axis of the grids to which a map is averaged."""
Strides = Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 14)], ...], Field(min_length=1, max_length=16)]
"""Of an encoder's levels."""


class LevelsSettings(Settings):
    """Which levels of an encoder."""

    encoder: AnyEncoderSettings = EncoderSettings()
    layers: tuple[str, ...] | None = Field(
        None, description="features: whose maps; empty = encoder.layer, or those of strides 4, 8 and 16"
    )
    strides: Strides | None = Field(
        None, description="features: the layers by their strides, such as [16, 32], in place of layers"
    )

    @model_validator(mode="after")
    def _levels_said_once(self) -> Self:
        if self.layers and self.strides:
            raise ValueError("layers and strides both say which levels are taken; set one of them")
        return self

    def chosen_layers(self) -> tuple[str, ...] | None:
        """The layers that are named, or those of the strides; None where neither is said. ValueError where
        the encoder has no layer of a stride."""
        return layers_of_strides(self.encoder, self.strides) if self.strides else self.layers or None


class PooledFeaturesSettings(LevelsSettings):
    """Which levels of an encoder, and how they are pooled."""

    pool: Literal["mean", "mean_deviation"] = Field(
        "mean",
        description="features: over valid positions; the second adds each channel's standard deviation",
    )
    grids: Grids = Field(
        (1,),
        description="features: cells per axis of the grids to which each map is averaged, such as [2, 4] for "
        "the means of both; 1 = over the whole map",
    )

    @model_validator(mode="after")
    def _deviations_of_whole_maps(self) -> Self:
        if self.pool == "mean_deviation" and self.grids != (1,):
            raise ValueError("pool: mean_deviation is over the whole map; set grids: [1], or pool: mean")
        return self


def refuse_finer(grids: Sequence[int], grid: Sequence[int], which: str) -> None:
    """ValueError where a map of this grid has fewer cells than one of `grids`."""
    if max(grids) > min(grid):
        raise ValueError(f"grids: {max(grids)} cells per axis, and {which} has {times(grid)}")


class Pooling:
    """Maps of all levels on one grid, `[N, C, *grid]`, to vectors `[N, dimensions]` float32.

    The vector is, for each of `grids` one after another, the mean over valid positions of each of its cells,
    channel by channel; where a cell has no valid position, that over the whole map. With `mean_deviation` the
    channels' standard deviations come after their means.

    `channels` are those of each level. ValueError where the map has fewer cells than a grid.
    """

    def __init__(
        self, settings: PooledFeaturesSettings, channels: Sequence[int], grid: Sequence[int]
    ) -> None:
        self.pool, self.grids, self.channels = settings.pool, settings.grids, tuple(channels)
        refuse_finer(self.grids, grid, "the last map")
        blocks = [side ** len(grid) for side in self.grids] * (1 if self.pool == "mean" else 2)
        self.widths = [width * cells for cells in blocks for width in self.channels]
        self.dimensions = sum(self.widths)

    def __call__(self, h: Tensor, valid: Tensor | None) -> Tensor:
        rows = [
            pooled(h, valid, self.pool) if side == 1 else pooled_to_cells(h, valid, side).flatten(1)
            for side in self.grids
        ]
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)

    def levels(self, x: Tensor) -> list[Tensor]:
        """The coordinates of each level, of vectors `[N, dimensions]`."""
        parts, levels = x.split(self.widths, dim=1), len(self.channels)
        return [torch.cat(parts[level::levels], dim=1) for level in range(levels)]


def maps_on_last_grid(maps: Sequence[Tensor], grid: tuple[int, ...]) -> Tensor:
    """The maps of all layers averaged down to the last one's grid, `[N, C, *grid]`; a single one as it is.

    Only for means over the whole map: cells of different layers that come to lie on each other differ by
    some pixels in where they look (`networks.cells`).
    """
    if len(maps) == 1:
        return maps[0]
    return torch.cat([area_resize(layer_map.float(), grid) for layer_map in maps], dim=1)


def pooled(h: Tensor, valid: Tensor | None, pool: Literal["mean", "mean_deviation"]) -> Tensor:
    """Mean of `[N, C, *S]` over valid positions (`[N, 1, *S]` or None = all), `[N, C]` float32, or with the
    standard deviations beside it `[N, 2C]`."""
    h = h.float().flatten(2)
    weight = torch.ones_like(h[:, :1]) if valid is None else valid.flatten(2).to(h)
    count = weight.sum(dim=2)
    mean = (h * weight).sum(dim=2) / count
    if pool == "mean":
        return mean
    variance = ((h - mean[..., None]).square() * weight).sum(dim=2) / count
    return torch.cat((mean, variance.sqrt()), dim=1)


def pooled_to_cells(h: Tensor, valid: Tensor | None, side: int) -> Tensor:
    """Mean of `[N, C, *S]` over the valid positions (`[N, 1, *S]` or None = all) of `side` cells per axis,
    `[N, C, side, ...]` float32; where a cell has none, over those of the whole map."""
    h, cells = h.float(), (side,) * (h.dim() - 2)
    if valid is None:
        return area_resize(h, cells)
    weight = valid.to(h)
    share = area_resize(weight, cells)
    whole = pooled(h, valid, "mean").view(*h.shape[:2], *[1] * len(cells))
    return torch.where(share > 0, area_resize(h * weight, cells) / share.clamp_min(1e-9), whole)
