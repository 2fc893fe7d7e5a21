"""k-means: how far an image is from the nearest centre of the normals' clusters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.representation import (
    OnVectors,
    RepresentationSettings,
    standardisation,
)
from secondread.detectors.contract import Batch, Batches, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.clustering import cluster_centres
from secondread.estimators.nearest import nearest
from secondread.estimators.reservoir import add_to_reservoir
from secondread.settings.base import Count, Width


class KMeansSettings(RepresentationSettings, DetectorSettings):
    name: Literal["k-means"] = "k-means"
    k: Width = Field(10, description="clusters")
    standardise: bool = Field(False, description="each coordinate, on the normals")
    most: Count = Field(
        10_000, description="normals that it is fitted on, a uniform sample where there are more"
    )

    @model_validator(mode="after")
    def _enough(self) -> KMeansSettings:
        if self.k > self.most:
            raise ValueError(
                f"k is {self.k}: at most {self.most} normals are taken; set most higher or k lower"
            )
        return self


class KMeans(OnVectors):
    """score = min over centres c of |x - c|, centres that minimise the sum of squares of it over normals.

    x is the image's representation (`detectors.representation`), standardised where asked for. The centres
    `[k, D]` are those of `detectors.clustering`, the best of ten starts whose seed is drawn from torch's
    global generator when the detector is built, and kept as a buffer.

    Sources: S. P. Lloyd, Least squares quantization in PCM, IEEE Transactions on Information Theory 1982;
    as a baseline of anomaly detection in P. Bergmann, M. Fauser, D. Sattlegger, C. Steger, Uninformed
    students, CVPR 2020.
    """

    Settings = KMeansSettings
    settings: KMeansSettings
    part = "distance"

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        dimensions = self.represent.dimensions
        self.seed: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.centres: Tensor
        self.register_buffer("seed", torch.randint(2**31 - 1, ()))
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(dimensions))
        self.register_buffer("centres", torch.zeros(self.settings.k, dimensions))
        self.sample, self.seen = torch.empty(0, dimensions), 0

    def stages(self) -> Iterator[Stage]:
        yield Stage("centres", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        rows = self.represent.of(batches["normal"]).cpu()
        self.sample, self.seen = add_to_reservoir(self.sample, self.seen, rows, self.settings.most)

    def finish(self) -> None:
        """`UserError` where there are fewer normals than centres."""
        x, k = self.sample.double(), self.settings.k
        self.sample = self.sample[:0]
        if len(x) < k:
            raise UserError(
                f"k-means with k = {k} needs at least as many normal images, and found {len(x)}; "
                "set detector.k lower or add normals"
            )
        if self.settings.standardise:
            mean, scale = standardisation(x)
            self.mean.copy_(mean)
            self.scale.copy_(scale)
            x = (x - mean) / scale
        self.centres.copy_(cluster_centres(x, k, int(self.seed)))

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = self.represent.of(batch)
        if self.settings.standardise:
            x = (x - self.mean) / self.scale
        return self.one_part(nearest(x, self.centres, 1)[0][:, 0])

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = KMeansSettings(of="pixels", side=8, k=3, standardise=True)
        return Tiny(settings, 1, (16,) * rank, {"centres": StageSettings(epochs=1, batch_size=4)})
