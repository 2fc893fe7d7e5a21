"""PaDiM: a Gaussian of encoder features at each position (Defard et al., ICPR workshops 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Tiny,
)
from secondread.detectors.encoder_settings import EncoderSettings, build_encoder
from secondread.detectors.settings import DetectorSettings, StageSettings
from secondread.detectors.valid_positions import highest_over, mean_over, valid_on
from secondread.networks.by_rank import area_resize, resize
from secondread.networks.encoder import map_sizes
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.networks.precision import full_precision


class PaDiMSettings(DetectorSettings):
    name: Literal["padim"] = "padim"
    encoder: EncoderSettings = EncoderSettings()
    layers: tuple[str, ...] | None = Field(None, description="empty = those of strides 4, 8 and 16")
    grid: int = Field(0, ge=0, description="index of the layer on whose grid the Gaussians sit; paper: 0")
    dimensions: PositiveInt | None = Field(100, description="random channels kept; empty = all")
    regularisation: PositiveFloat = Field(0.01, description="added to the covariance's diagonal")
    smoothing: NonNegativeFloat = Field(4.0, description="standard deviation in pixels of the map's blur")
    image_score: Literal["max", "mean", "top"] = "max"
    top_share: float = Field(0.05, gt=0, le=1, description="share of positions that `top` averages")

    @model_validator(mode="after")
    def _pretrained(self) -> PaDiMSettings:
        if self.encoder.name == "conv":
            raise ValueError("PaDiM needs an encoder with pretrained weights, not conv")
        return self


class PaDiM(Detector):
    """score at position p = sqrt((f_p - m_p)^T C_p^-1 (f_p - m_p)); of the image, the map's maximum.

    f_p are `dimensions` random channels of several layers' maps, brought to one grid (the finest in the
    paper; others interpolated or averaged); m_p and C_p mean and covariance of the normals at p, with
    0.01 I added. The map is interpolated to the image and blurred.

    Fitted in one pass without keeping features: `[P, d, d]` and `[P, d]` sums in float64 about the
    first batch's mean, then m and the inverse Cholesky factor in float32. The channels are drawn from
    torch's global generator when the detector is built, and kept as a buffer.

    Source: T. Defard, A. Setkov, A. Loesch, R. Audigier, PaDiM, arXiv 2011.08785.
    """

    Settings = PaDiMSettings
    settings: PaDiMSettings

    def __init__(
        self, settings: PaDiMSettings, channels: int, size: tuple[int, ...], *, pretrained: bool = True
    ) -> None:
        super().__init__(settings, channels, size, pretrained=pretrained)
        layers = settings.layers or PRETRAINED_LAYERS[settings.encoder.name]
        self.encoder = build_encoder(settings.encoder, 2, channels, pretrained=pretrained, layers=layers)
        sizes = map_sizes(self.encoder, channels, self.size)
        if settings.grid >= len(sizes):
            raise ValueError(f"padim grid {settings.grid}: there are only {len(sizes)} layers, from 0")
        self.grid = sizes[settings.grid]
        total = sum(self.encoder.channels)
        d = min(settings.dimensions or total, total)
        positions = torch.Size(self.grid).numel()
        self.chosen: Tensor
        self.mean: Tensor
        self.whitener: Tensor
        self.count: Tensor
        self.shift: Tensor
        self.first: Tensor
        self.second: Tensor
        self.register_buffer("chosen", torch.randperm(total)[:d].sort().values)
        self.register_buffer("mean", torch.zeros(positions, d))
        self.register_buffer("whitener", torch.zeros(positions, d, d))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self._clear()

    def _clear(self) -> None:
        """Empty sums; they have a size only while the normals are being collected."""
        device = self.mean.device
        self.register_buffer("shift", torch.empty(0, device=device))
        self.register_buffer("first", torch.empty(0, dtype=torch.float64, device=device))
        self.register_buffer("second", torch.empty(0, dtype=torch.float64, device=device))
        self.count.zero_()

    def stages(self) -> Iterator[Stage]:
        yield Stage("gaussians", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        f = self._features(batches["normal"].images)
        if not len(self.shift):
            self.shift = f.mean(dim=1)
            self.first = torch.zeros_like(self.shift, dtype=torch.float64)
            self.second = torch.zeros_like(self.whitener, dtype=torch.float64)
        f = f - self.shift[:, None]
        self.first += f.sum(dim=1)
        self.second += f.transpose(1, 2) @ f
        self.count += f.shape[1]

    def finish(self) -> None:
        n = int(self.count)
        if n < 2:
            raise ValueError("PaDiM needs at least two normal images")
        identity = torch.eye(self.mean.shape[1], device=self.mean.device, dtype=torch.float64)
        self.mean.copy_(self.shift + self.first / n)
        for place in range(0, len(self.mean), 256):  # bounds the memory of the factors
            part = slice(place, place + 256)
            mean = self.first[part] / n
            covariance = (self.second[part] - n * mean[:, :, None] * mean[:, None, :]) / (n - 1)
            factor = torch.linalg.cholesky(covariance + self.settings.regularisation * identity)
            self.whitener[part] = torch.linalg.solve_triangular(
                factor, identity.expand_as(factor), upper=False
            ).float()
        self._clear()

    def score(self, batch: Batch, noise: ScoringNoise) -> Scores:
        centred = self._features(batch.images) - self.mean[:, None]
        with full_precision(centred):
            whitened = centred @ self.whitener.transpose(1, 2)
        distance = whitened.square().sum(dim=-1).sqrt().T.reshape(-1, 1, *self.grid)
        anomaly_map = gaussian_blur(resize(distance, self.size), self.settings.smoothing)
        if self.settings.image_score == "mean":
            value = mean_over(distance, valid_on(batch.valid, self.grid))
        else:
            share = self.settings.top_share if self.settings.image_score == "top" else 0.0
            value = highest_over(anomaly_map, batch.valid, share)
        return Scores({"distance": Part(value)}, {"distance": anomaly_map})

    def mixture(self) -> Mixture:
        return Mixture({"distance": 1.0}, scaled=False)

    def map_mixture(self) -> Mixture:
        return Mixture({"distance": 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = PaDiMSettings(
            encoder=EncoderSettings(name="resnet18", weights="random"), dimensions=10, smoothing=1.0
        )
        return Tiny(settings, 1, (32,) * rank, {"gaussians": StageSettings(epochs=1, batch_size=4)})

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        """f, `[P, N, d]` float32. Channels are chosen before the maps are brought to one grid."""
        chosen, start, kept = self.chosen, 0, []
        for layer_map in self.encoder(images):
            end = start + layer_map.shape[1]
            mine = chosen[(chosen >= start) & (chosen < end)] - start
            layer_map = layer_map.index_select(1, mine).float()
            coarser = layer_map.shape[2] < self.grid[0]
            kept.append(resize(layer_map, self.grid) if coarser else area_resize(layer_map, self.grid))
            start = end
        return torch.cat(kept, dim=1).flatten(2).permute(2, 0, 1)


PRETRAINED_LAYERS = {
    **dict.fromkeys(("resnet18", "resnet50", "wide_resnet50_2"), ("layer1", "layer2", "layer3")),
    "squeezenet1_1": ("features.4", "features.7", "features.12"),
}
"""Layers of strides 4, 8 and 16."""
