"""Mahalanobis per level: the distances from the normals at every level of a frozen encoder, added up
(Rippel et al., ICPR 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from secondread.detectors.blocks.encoder_settings import encoder_kind, refuse_learning
from secondread.detectors.blocks.gaussian import ComponentsSettings, Gaussian
from secondread.detectors.blocks.pooled_features import PooledFeaturesSettings
from secondread.detectors.blocks.representation import Representation, RepresentationSettings
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
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.encoder import EncoderSettings


class MahalanobisLevelsSettings(ComponentsSettings, PooledFeaturesSettings, DetectorSettings):
    name: Literal["mahalanobis-levels"] = "mahalanobis-levels"
    layers: tuple[str, ...] | None = Field(
        None, description="whose maps are pooled; empty = the last of every stride that the encoder names"
    )

    @model_validator(mode="after")
    def _pretrained(self) -> Self:
        refuse_learning(self.encoder)
        return self


class MahalanobisLevels(Detector):
    """score = sum over levels l of sqrt((x_l - m_l)^T C_l^-1 (x_l - m_l)).

    x_l is the mean of level l's map over valid positions (or over the cells of `grids`), m_l and C_l mean
    and shrunk covariance of it among the normals (`estimators.shrunk_gaussian`). Each level's distance is a
    part, `level_1` the first; the score is their sum as it is, not standardised, as in the paper.

    Fitted in one pass without keeping features; (D_l + 2)² x 8 bytes for each level.

    Source: O. Rippel, P. Mertens, D. Merhof, Modeling the distribution of normal data in pre-trained deep
    features for anomaly detection, ICPR 2020 (EfficientNet-B4, the means of its nine levels).
    """

    Settings = MahalanobisLevelsSettings
    settings: MahalanobisLevelsSettings
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        layers = settings.chosen_layers() or tuple(encoder_kind(settings.encoder).layers_by_stride.values())
        levels = RepresentationSettings(
            encoder=settings.encoder, layers=layers, pool=settings.pool, grids=settings.grids
        )
        self.represent = Representation(levels, channels, self.size, pretrained=pretrained)
        pooling = self.represent.pooling
        self.names = [f"level_{level + 1}" for level in range(len(pooling.channels))]
        probe = torch.empty(1, pooling.dimensions, device="meta")
        self.gaussians = nn.ModuleList(Gaussian(rows.shape[1]) for rows in pooling.levels(probe))
        self.grows = {
            f"gaussians.{level}.whitener": (f"k{level}", None) for level in range(len(self.gaussians))
        }

    def stages(self) -> Iterator[Stage]:
        yield Stage("moments", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        for gaussian, rows in self._levels(batches["normal"]):
            gaussian.add(rows)

    def finish(self) -> None:
        """Every level's m and whitening matrix. `UserError` with fewer than two normals."""
        for gaussian in self.gaussians:
            assert isinstance(gaussian, Gaussian)
            gaussian.fit(self.settings, "mahalanobis-levels")

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        found = [gaussian.distance(rows) for gaussian, rows in self._levels(batch)]
        return Scores({name: Part(distance) for name, distance in zip(self.names, found, strict=True)})

    def mixture(self) -> Mixture:
        return Mixture(dict.fromkeys(self.names, 1.0), scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = MahalanobisLevelsSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"), strides=(4, 8)
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"moments": StageSettings(epochs=1, batch_size=4)})

    def _levels(self, batch: Batch) -> Iterator[tuple[Gaussian, Tensor]]:
        """Each level's Gaussian, and its x of the images, `[N, D_l]`."""
        levels = self.represent.pooling.levels(self.represent.of(batch))
        for gaussian, rows in zip(self.gaussians, levels, strict=True):
            assert isinstance(gaussian, Gaussian)
            yield gaussian, rows
