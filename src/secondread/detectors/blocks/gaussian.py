"""A Gaussian of normals' vectors: mean, shrunk covariance, and the distance that they measure."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

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


class FittedGaussian(nn.Module):
    """Mean `[D]` and whitening matrix `[K, D]` of vectors `[N, D]`, both buffers, and what is added up for
    them in a fit. A module with one Gaussian derives from it; `Gaussian` is one by itself."""

    mean: Tensor
    whitener: Tensor

    def begin(self, dimensions: int) -> None:
        """The buffers, before a fit."""
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("whitener", torch.eye(dimensions))
        self.sums: Moments | None = None

    def add(self, rows: Tensor) -> None:
        """Normals' vectors `[n, D]`, of which the moments alone are kept."""
        self.sums = add_moments(self.sums, rows)

    def fit(self, components: ComponentsSettings, detector: str) -> None:
        """From all that was added. `UserError`, which names the detector, with fewer than two normals."""
        if self.sums is None or samples_in(self.sums) < 2:
            raise UserError(f"{detector} needs at least two normal images")
        mean, whitener = mean_and_whitener(
            self.sums, least_variance=components.least_variance, most_variance=components.most_variance
        )
        self.sums = None
        self.mean.copy_(mean)
        self.whitener = whitener.to(self.mean, copy=True)

    def distance(self, x: Tensor) -> Tensor:
        """The Mahalanobis distance of each vector, `[N]`."""
        with full_precision(x):
            return ((x.float() - self.mean) @ self.whitener.T).norm(dim=1)


class Gaussian(FittedGaussian):
    """A Gaussian by itself."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.begin(dimensions)
