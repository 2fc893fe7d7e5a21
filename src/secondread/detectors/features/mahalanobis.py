"""Mahalanobis: how far an image is from the normals' mean, measured by their covariance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.representation import Representation, RepresentationSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.shrunk_gaussian import Moments, add_moments, mean_and_whitener, samples_in
from secondread.networks.precision import full_precision
from secondread.settings.base import Settings


class ComponentsSettings(Settings):
    """Along which components of the normals' covariance a distance is measured."""

    least_variance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="keeps the components of least variance, which hold this share of it; empty = all",
    )
    most_variance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="keeps the components of most variance, which hold this share of it; empty = all",
    )

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.least_variance is not None and self.most_variance is not None:
            raise ValueError("least_variance and most_variance keep opposite components; set one of them")
        return self


class MahalanobisSettings(ComponentsSettings, RepresentationSettings, DetectorSettings):
    name: Literal["mahalanobis"] = "mahalanobis"


class Mahalanobis(Detector):
    """score = sqrt((x - m)^T C^-1 (x - m)), with m and C the normals' mean and covariance.

    x is the image's representation (`detectors.representation`). C is shrunk towards a multiple of the
    identity, C = (1 - a) S + a tr(S) / D I, with a of Ledoit and Wolf (J. Multivariate Analysis 2004). With
    `least_variance` the distance is measured along those eigenvectors alone in which S is least, together
    that share of tr(S). Directions in which the normals do not vary at all, as there are where they are
    fewer than D, are not among them: which they are, rounding decides. With `most_variance` it is measured
    along the fewest that hold at least that share.

    Fitted in one pass without keeping a representation: the moments of (1, |x|², x), which give S and a,
    are added up in float64 about the first batch's mean; (D + 2)² x 8 bytes.

    Sources: K. Lee, K. Lee, H. Lee, J. Shin, A simple unified framework for detecting out-of-distribution
    samples and adversarial attacks, NeurIPS 2018 (with one class here, and without its perturbed inputs);
    O. Rippel, P. Mertens, D. Merhof, Modeling the distribution of normal data in pre-trained deep features
    for anomaly detection, ICPR 2020 (shrinkage, in their code after the projection; and the components of
    least and of most variance).
    """

    Settings = MahalanobisSettings
    settings: MahalanobisSettings
    ranks = frozenset({2, 3})
    part = "distance"
    grows: Mapping[str, tuple[str | None, ...]] = {"whitener": ("k", None)}

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.represent = Representation(settings, channels, self.size, pretrained=pretrained)
        self.ranks = self.represent.ranks
        dimensions = self.represent.dimensions
        self.mean: Tensor
        self.whitener: Tensor
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("whitener", torch.eye(dimensions))
        self.sums: Moments | None = None

    def stages(self) -> Iterator[Stage]:
        yield Stage("moments", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        self.sums = add_moments(self.sums, self.represent(batches["normal"]))

    def finish(self) -> None:
        """m and the whitening matrix. `UserError` with fewer than two normals."""
        if self.sums is None or samples_in(self.sums) < 2:
            raise UserError("mahalanobis needs at least two normal images")
        settings = self.settings
        mean, whitener = mean_and_whitener(
            self.sums, least_variance=settings.least_variance, most_variance=settings.most_variance
        )
        self.sums = None
        self.mean.copy_(mean)
        self.whitener = whitener.to(self.mean, copy=True)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        centred = self.represent(batch) - self.mean
        with full_precision(centred):
            return self.one_part((centred @ self.whitener.T).norm(dim=1))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = MahalanobisSettings(of="pixels", side=6)
        return Tiny(settings, 1, (16,) * rank, {"moments": StageSettings(epochs=1, batch_size=4)})
