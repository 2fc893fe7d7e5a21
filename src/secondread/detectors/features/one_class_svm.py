"""One-class SVM: on which side of the boundary around most normals an image lies, and how far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from secondread.detectors.blocks.representation import (
    OnVectors,
    RepresentationSettings,
    standardisation,
)
from secondread.detectors.contract import Batch, Batches, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.principal_components import principal_components
from secondread.estimators.reservoir import add_to_reservoir
from secondread.networks.precision import full_precision

CHUNK = 1024
"""Support vectors compared at once."""


class OneClassSVMSettings(RepresentationSettings, DetectorSettings):
    name: Literal["one-class-svm"] = "one-class-svm"
    nu: float = Field(
        0.1,
        gt=0,
        le=1,
        description="bounds the share of normals outside from above, of support vectors from below",
    )
    gamma: Literal["scale"] | PositiveFloat = Field(
        "scale", description="of the kernel; scale = 1 / (dimensions · variance), after the projection"
    )
    variance: float | None = Field(
        0.95, gt=0, lt=1, description="share of it that the principal components keep; empty = all"
    )
    most: int = Field(
        10_000,
        ge=2,
        le=10**6,
        description="normals that it is fitted on, a uniform sample where there are more",
    )


class OneClassSVM(OnVectors):
    """score = rho - sum_i alpha_i exp(-gamma |y - s_i|²), minus the decision function; above 0 is outside.

    y is the image's representation x (`detectors.representation`), standardised on the normals and projected
    on the principal components that keep `variance` of it. The support vectors s_i `[m, K]`, their
    coefficients alpha_i and rho come from

        min over f, rho of |f|² / 2 + sum_i max(0, rho - f(y_i)) / (nu n) - rho

    in the kernel's space, times nu n (so that the alpha_i add up to that), solved by scikit-learn (libsvm) in
    float64 and kept as float32 buffers. Far from
    all normals the sum is 0, so that the score is rho at most and cannot rank what is farther still.

    Source: B. Schölkopf, J. C. Platt, J. Shawe-Taylor, A. J. Smola, R. C. Williamson, Estimating the support
    of a high-dimensional distribution, Neural Computation 2001.
    """

    Settings = OneClassSVMSettings
    settings: OneClassSVMSettings
    part = "outside"
    grows: Mapping[str, tuple[str | None, ...]] = {
        "matrix": ("k", None),
        "support": ("n", "k"),
        "coefficients": ("n",),
    }

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.keeps = {"support": self.represent.kept}
        dimensions = self.represent.dimensions
        self.mean: Tensor
        self.matrix: Tensor
        self.support: Tensor
        self.coefficients: Tensor
        self.gamma: Tensor
        self.rho: Tensor
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("matrix", torch.empty(0, dimensions))
        self.register_buffer("support", torch.empty(0, 0))
        self.register_buffer("coefficients", torch.empty(0))
        self.register_buffer("gamma", torch.zeros(()))
        self.register_buffer("rho", torch.zeros(()))
        self.sample, self.seen = torch.empty(0, dimensions), 0

    def stages(self) -> Iterator[Stage]:
        yield Stage("boundary", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        rows = self.represent.of(batches["normal"]).cpu()
        self.sample, self.seen = add_to_reservoir(self.sample, self.seen, rows, self.settings.most)

    def finish(self) -> None:
        """`UserError` where there are not two normals that differ."""
        from sklearn.svm import OneClassSVM as Solver

        x = self.sample.double()
        self.sample = self.sample[:0]
        mean, scale = standardisation(x)
        z = (x - mean) / scale
        directions = principal_components(z, self.settings.variance, "one-class-svm")
        y = (z @ directions.T).numpy()
        gamma = self.settings.gamma
        if gamma == "scale":
            gamma = 1 / (y.shape[1] * float(y.var()))
        svm = Solver(nu=self.settings.nu, gamma=gamma).fit(y)
        self.mean.copy_(mean)
        self.matrix = (directions / scale).to(self.mean)
        self.support = torch.from_numpy(svm.support_vectors_).to(self.mean)
        self.coefficients = torch.from_numpy(svm.dual_coef_[0]).to(self.mean)
        self.gamma.fill_(gamma)
        self.rho.fill_(-float(svm.intercept_[0]))

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = self.represent.of(batch)
        with full_precision(x):
            y = (x - self.mean) @ self.matrix.T
            inside = torch.zeros(len(y), device=y.device)
            for support, alpha in zip(self.support.split(CHUNK), self.coefficients.split(CHUNK), strict=True):
                # without matrix products: an image's distance must not depend on its batch
                distance = torch.cdist(y, support, compute_mode="donot_use_mm_for_euclid_dist")
                inside += ((-self.gamma * distance.square()).exp() * alpha).sum(dim=1)
        return self.one_part(self.rho - inside)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = OneClassSVMSettings(of="pixels", side=8, nu=0.5)
        return Tiny(settings, 1, (16,) * rank, {"boundary": StageSettings(epochs=1, batch_size=4)})
