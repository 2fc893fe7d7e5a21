"""One vector per image, of its pixels or of a frozen encoder's features, for classical detectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from secondread.detectors.blocks.encoder_settings import STRIDES, build_encoder, encoder_kind, refuse_learning
from secondread.detectors.blocks.pooled_features import PooledFeaturesSettings, Pooling, maps_on_last_grid
from secondread.detectors.blocks.valid_positions import valid_on
from secondread.detectors.contract import Batch, Detector
from secondread.networks.by_rank import area_resize
from secondread.networks.encoder import map_sizes
from secondread.settings.base import Side

FLOOR = 0.05
"""Added to every standard deviation, as a share of their root mean square: a coordinate that hardly varies
must not decide alone."""
THUMBNAIL = {2: 32, 3: 16}
"""A thumbnail's side by rank."""


class RepresentationSettings(PooledFeaturesSettings):
    """A base beside `DetectorSettings`: its fields then stand among the detector's own, as `encoder` does in
    every detector."""

    of: Literal["pixels", "features"] = Field(
        "features", description="pixels: a thumbnail; features: pooled maps of a frozen encoder"
    )
    side: Side | None = Field(None, description="pixels: thumbnail's side; empty = 32 in 2-D and 16 in 3-D")

    @model_validator(mode="after")
    def _pretrained(self) -> Self:
        if self.of == "features":
            refuse_learning(self.encoder, "features need")
        return self


class Representation(nn.Module):
    """x of each image of a batch, `[N, dimensions]` float32.

    pixels    the image, padding included, averaged down to `side` per axis (no axis is enlarged), flattened
    features  the encoder's maps, on the grid of the last layer, pooled over valid positions
              (`blocks.pooled_features`)

    `identity` is what x follows from beside images and weights.

    Nothing is fitted and nothing trains. An image's x does not depend on its batch, but for rounding.

    `ValueError` for features of a rank, or of channels, that the encoder does not take.
    """

    def __init__(
        self, settings: RepresentationSettings, channels: int, size: Sequence[int], *, pretrained: bool
    ) -> None:
        super().__init__()
        self.encoder: nn.Module | None = None
        self.identity = "a thumbnail"
        if settings.of == "pixels":
            side = settings.side or THUMBNAIL[len(size)]
            self.grid = tuple(min(side, length) for length in size)
            self.dimensions = channels * torch.Size(self.grid).numel()
            return
        layers = settings.chosen_layers()
        if layers is None and settings.encoder.layer is None:
            named = encoder_kind(settings.encoder).layers_by_stride
            layers = tuple(named[stride] for stride in STRIDES if stride in named) or None
        encoder = build_encoder(settings.encoder, len(size), channels, pretrained=pretrained, layers=layers)
        self.grid = map_sizes(encoder, channels, size)[-1]
        self.pooling = Pooling(settings, encoder.channels, self.grid)
        self.dimensions = self.pooling.dimensions
        self.encoder = encoder
        self.identity = json.dumps([encoder.identity, "pooled", settings.pool, settings.grids])

    @property
    def kept(self) -> Literal["thumbnails", "features"]:
        """What one x is of its image; see `Detector.keeps`."""
        return "thumbnails" if self.encoder is None else "features"

    @torch.no_grad()
    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        if self.encoder is None:
            return area_resize(images.float(), self.grid).flatten(1)
        maps = maps_on_last_grid(self.encoder(images), self.grid)
        return self.pooling(maps, valid_on(valid, self.grid))

    def of(self, batch: Batch) -> Tensor:
        return self(batch.images, batch.valid)


class OnVectors(Detector):
    """A detector of one vector per image: `represent`, by settings that are `RepresentationSettings` too."""

    ranks = frozenset({2, 3})
    represent: Representation

    def build(self, *, pretrained: bool) -> None:
        assert isinstance(self.settings, RepresentationSettings)
        self.represent = Representation(self.settings, self.channels, self.size, pretrained=pretrained)


def standardisation(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale of each column of `[n, D]`, by which (x - mean) / scale is standardised: two `[D]`."""
    deviation = rows.std(dim=0, correction=0)
    return rows.mean(dim=0), deviation + FLOOR * deviation.square().mean().sqrt().clamp_min(1e-6)
