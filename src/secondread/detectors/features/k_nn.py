"""k-NN: how far an image is from its nearest normals, in features of a frozen encoder or in pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from secondread.estimators.nearest import nearest
from secondread.estimators.reservoir import add_to_reservoir
from secondread.settings.base import Count, Draws


class KNearestNeighboursSettings(RepresentationSettings, DetectorSettings):
    name: Literal["k-nn"] = "k-nn"
    k: Draws = 5
    distance: Literal["mean", "kth"] = Field(
        "mean", description="over the k nearest normals, or to the k-th of them"
    )
    standardise: bool = Field(False, description="each coordinate, on the normals of the bank")
    normalise: bool = Field(False, description="to unit length, after standardising")
    bank: Count = Field(10_000, description="most normals kept, a uniform sample where there are more")

    @model_validator(mode="after")
    def _enough(self) -> KNearestNeighboursSettings:
        if self.k > self.bank:
            raise ValueError(
                f"k is {self.k}: the bank holds at most {self.bank} normals; set bank higher or k lower"
            )
        return self


class KNearestNeighbours(OnVectors):
    """score = mean over the k nearest normals b of |x - b|, or that of the k-th (`distance: kth`).

    x is the image's representation (`detectors.representation`), standardised and scaled to unit length
    where asked for. The bank `[n, D]` float32 is a uniform sample of the normals, of bounded size.

    Sources: L. Bergman, N. Cohen, Y. Hoshen, Deep nearest neighbor anomaly detection, arXiv 2002.10445
    (the mean, there of squared distances); Y. Sun, Y. Ming, X. Zhu, Y. Li, Out-of-distribution detection with
    deep nearest neighbors, ICML 2022 (the k-th, of features of unit length, not standardised).
    """

    Settings = KNearestNeighboursSettings
    settings: KNearestNeighboursSettings
    part = "distance"
    grows: Mapping[str, tuple[str | None, ...]] = {"bank": ("n", None)}

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.keeps = {"bank": self.represent.kept}
        dimensions = self.represent.dimensions
        self.mean: Tensor
        self.scale: Tensor
        self.bank: Tensor
        self.seen: Tensor
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(dimensions))
        self.register_buffer("bank", torch.empty(0, dimensions))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def stages(self) -> Iterator[Stage]:
        yield Stage("bank", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        rows = self.represent.of(batches["normal"]).to(self.bank.device)
        self.bank, seen = add_to_reservoir(self.bank, int(self.seen), rows, self.settings.bank)
        self.seen.fill_(seen)

    def finish(self) -> None:
        """Brings the bank to the coordinates in which distances are measured. `UserError` where it holds
        fewer than k normals."""
        if len(self.bank) < self.settings.k:
            raise UserError(
                f"k-nn with k = {self.settings.k} needs at least as many normal images, and the bank holds "
                f"{len(self.bank)}; set detector.k lower or add normals"
            )
        if self.settings.standardise:
            mean, scale = standardisation(self.bank.double())
            self.mean.copy_(mean)
            self.scale.copy_(scale)
        self.bank = self._coordinates(self.bank)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        distances, _ = nearest(self._coordinates(self.represent.of(batch)), self.bank, self.settings.k)
        kth = self.settings.distance == "kth"
        return self.one_part(distances[:, -1] if kth else distances.mean(dim=1))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = KNearestNeighboursSettings(
            of="pixels", side=8, k=2, standardise=True, normalise=True, bank=5
        )
        return Tiny(settings, 1, (16,) * rank, {"bank": StageSettings(epochs=1, batch_size=4)})

    def _coordinates(self, rows: Tensor) -> Tensor:
        if self.settings.standardise:
            rows = (rows - self.mean) / self.scale
        return torch.nn.functional.normalize(rows, dim=1) if self.settings.normalise else rows
