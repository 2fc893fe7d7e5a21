"""One vector per image, of its pixels or of a frozen encoder's features, for classical detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from secondread.detectors.blocks.encoder_settings import (
    AnyEncoderSettings,
    build_encoder,
    encoder_kind,
)
from secondread.detectors.blocks.valid_positions import valid_on
from secondread.detectors.contract import Batch
from secondread.networks.by_rank import area_resize
from secondread.networks.encoder import EncoderSettings, map_sizes
from secondread.settings.base import Settings, Side

FLOOR = 0.05
"""Added to every standard deviation, as a share of their root mean square: a coordinate that hardly varies
must not decide alone."""
THUMBNAIL = {2: 32, 3: 16}
"""A thumbnail's side by rank."""


class RepresentationSettings(Settings):
    """A base beside `DetectorSettings`: its fields then stand among the detector's own, as `encoder` does in
    every detector."""

    of: Literal["pixels", "features"] = Field(
        "features", description="pixels: a thumbnail; features: pooled maps of a frozen encoder, 2-D only"
    )
    side: Side | None = Field(None, description="pixels: thumbnail's side; empty = 32 in 2-D and 16 in 3-D")
    encoder: AnyEncoderSettings = EncoderSettings()
    layers: tuple[str, ...] | None = Field(
        None, description="features: whose maps; empty = encoder.layer, or those of strides 4, 8 and 16"
    )
    pool: Literal["mean", "mean_deviation"] = Field(
        "mean",
        description="features: over valid positions; the second adds each channel's standard deviation",
    )

    @model_validator(mode="after")
    def _pretrained(self) -> Self:
        if self.of == "features" and encoder_kind(self.encoder).learns:
            raise ValueError(f"features need an encoder with pretrained weights, not {self.encoder.name}")
        return self


class Representation(nn.Module):
    """x of each image of a batch, `[N, dimensions]` float32.

    pixels    the image, padding included, averaged down to `side` per axis (no axis is enlarged), flattened;
              2-D and 3-D
    features  the encoder's maps, on the grid of the last layer, pooled over valid positions; 2-D

    Nothing is fitted and nothing trains. An image's x does not depend on its batch, but for rounding.

    `ValueError` for features of another rank than 2, or of channels that the encoder does not take.
    """

    def __init__(
        self, settings: RepresentationSettings, channels: int, size: Sequence[int], *, pretrained: bool
    ) -> None:
        super().__init__()
        self.pool = settings.pool
        self.encoder: nn.Module | None = None
        if settings.of == "pixels":
            side = settings.side or THUMBNAIL[len(size)]
            self.grid = tuple(min(side, length) for length in size)
            self.dimensions = channels * torch.Size(self.grid).numel()
            return
        if len(size) != 2:
            raise ValueError(
                f"features come from encoders of 2-D images, and the preprocessing gives images of size "
                f"{tuple(size)}; set detector.of to pixels"
            )
        layers = settings.layers or None
        if layers is None and settings.encoder.layer is None:
            layers = encoder_kind(settings.encoder).layers_of_strides_4_8_16 or None
        encoder = build_encoder(settings.encoder, 2, channels, pretrained=pretrained, layers=layers)
        self.grid = map_sizes(encoder, channels, size)[-1]
        self.dimensions = sum(encoder.channels) * (1 if settings.pool == "mean" else 2)
        self.encoder = encoder

    @property
    def ranks(self) -> frozenset[int]:
        """The ranks of images that it takes as it is set."""
        return frozenset({2, 3} if self.encoder is None else {2})

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tensor:
        if self.encoder is None:
            return area_resize(batch.images.float(), self.grid).flatten(1)
        maps = maps_on_last_grid(self.encoder(batch.images), self.grid)
        return pooled(maps, valid_on(batch.valid, self.grid), self.pool)


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


def standardisation(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale of each column of `[n, D]`, by which (x - mean) / scale is standardised: two `[D]`."""
    deviation = rows.std(dim=0, correction=0)
    return rows.mean(dim=0), deviation + FLOOR * deviation.square().mean().sqrt().clamp_min(1e-6)
