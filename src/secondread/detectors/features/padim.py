"""PaDiM: a Gaussian of encoder features at each position (Defard et al., ICPR workshops 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import (
    AnyEncoderSettings,
    build_encoder,
    layers_of_strides,
    refuse_learning,
)
from secondread.detectors.blocks.valid_positions import highest_over, mean_over, placed, valid_on
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.position_gaussians import PositionGaussians
from secondread.networks.encoder import EncoderSettings, chosen_channels, map_places
from secondread.settings.base import Width


class PaDiMSettings(DetectorSettings):
    name: Literal["padim"] = "padim"
    encoder: AnyEncoderSettings = EncoderSettings()
    layers: tuple[str, ...] | None = Field(None, description="empty = those of strides 4, 8 and 16")
    grid: int = Field(
        0, ge=0, le=16, description="index of the layer on whose grid the Gaussians sit; paper: 0"
    )
    dimensions: Width | None = Field(100, description="random channels kept; empty = all")
    regularisation: PositiveFloat = Field(0.01, description="added to the covariance's diagonal")
    smoothing: float = Field(
        4.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )
    image_score: Literal["max", "mean", "top"] = "max"
    top_share: float = Field(0.05, gt=0, le=1, description="share of positions that `top` averages")

    @model_validator(mode="after")
    def _pretrained(self) -> PaDiMSettings:
        refuse_learning(self.encoder)
        return self


class PaDiM(Detector):
    """score at position p = sqrt((f_p - m_p)^T C_p^-1 (f_p - m_p)); of the image, the map's maximum.

    f_p are `dimensions` random channels of several layers' maps, brought to one grid (the finest in the
    paper; others interpolated or averaged, by where their cells look: `networks.cells`); m_p and C_p mean
    and covariance of the normals at p, with 0.01 I added. The map is interpolated between the cells' centres
    and blurred. Padding enters the Gaussians, as what normals have at that place; at scoring it has the
    image's lowest distance in the map, and is left out of the image score.

    Fitted in one pass without keeping features (`estimators.position_gaussians`). The channels are drawn from
    torch's global generator when the detector is built, and kept as a buffer.

    Source: T. Defard, A. Setkov, A. Loesch, R. Audigier, PaDiM, arXiv 2011.08785.
    """

    Settings = PaDiMSettings
    settings: PaDiMSettings
    part = "distance"
    ranks = frozenset({2, 3})
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        layers = settings.layers or layers_of_strides(settings.encoder)
        self.encoder = build_encoder(
            settings.encoder, len(self.size), channels, pretrained=pretrained, layers=layers
        )
        sizes, self.cells = map_places(self.encoder, channels, self.size)
        if settings.grid >= len(sizes):
            raise ValueError(f"padim grid {settings.grid}: there are only {len(sizes)} layers, from 0")
        self.grid = sizes[settings.grid]
        total = sum(self.encoder.channels)
        d = min(settings.dimensions or total, total)
        self.chosen: Tensor
        self.register_buffer("chosen", torch.randperm(total)[:d].sort().values)
        self.gaussians = PositionGaussians(torch.Size(self.grid).numel(), d, settings.regularisation)

    def stages(self) -> Iterator[Stage]:
        yield Stage("gaussians", {"normal": 1.0}, collect=self.collect, finish=self.gaussians.finish)

    def collect(self, batches: Batches) -> None:
        self.gaussians.collect(self._features(batches["normal"].images).permute(2, 0, 1))

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        distance = self.gaussians(self._features(batch.images)).reshape(-1, 1, *self.grid)
        valid = valid_on(batch.valid, self.grid)
        if self.settings.image_score == "mean":
            value = mean_over(distance, valid)
            return self.one_part(value, self._map(distance, valid) if maps else None)
        share = self.settings.top_share if self.settings.image_score == "top" else 0.0
        anomaly_map = self._map(distance, valid)
        value = highest_over(anomaly_map, batch.valid, share)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        name = "resnet18" if rank == 2 else "squeezenet1_1"
        settings = PaDiMSettings(
            encoder=EncoderSettings(name=name, weights="random"),
            layers=None if rank == 2 else ("features.4", "features.7"),
            dimensions=10,
            smoothing=1.0,
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"gaussians": StageSettings(epochs=1, batch_size=4)})

    def _map(self, distance: Tensor, valid: Tensor | None) -> Tensor:
        """`[N, 1, *size]` from the distances `[N, 1, *grid]`."""
        return placed(distance, valid, self.cells[self.settings.grid], self.size, self.settings.smoothing)

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        """f, `[N, d, P]` float32."""
        maps, target = self.encoder(images), self.cells[self.settings.grid]
        return chosen_channels(maps, self.chosen, self.cells, target, self.grid).flatten(2)
