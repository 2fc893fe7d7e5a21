"""Mahalanobis: how far an image is from the normals' mean, measured by their covariance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.representation import Representation, RepresentationSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.networks.precision import full_precision

LEAST_VARIANCE = 1e-6
"""Of every component, as a share of the mean variance: normals that are all alike have none."""
NO_VARIANCE = 1e-12
"""As a share of the largest: directions of less are rounding, and arbitrary."""


class MahalanobisSettings(RepresentationSettings, DetectorSettings):
    name: Literal["mahalanobis"] = "mahalanobis"
    least_variance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="keeps the components of least variance, which hold this share of it; empty = all",
    )


class Mahalanobis(Detector):
    """score = sqrt((x - m)^T C^-1 (x - m)), with m and C the normals' mean and covariance.

    x is the image's representation (`detectors.representation`). C is shrunk towards a multiple of the
    identity, C = (1 - a) S + a tr(S) / D I, with a of Ledoit and Wolf (J. Multivariate Analysis 2004). With
    `least_variance` the distance is measured along those eigenvectors alone in which S is least, together
    that share of tr(S). Directions in which the normals do not vary at all, as there are where they are
    fewer than D, are not among them: which they are, rounding decides.

    Fitted in one pass without keeping a representation: the moments of (1, |x|², x), which give S and a,
    are added up in float64 about the first batch's mean; (D + 2)² x 8 bytes.

    Sources: K. Lee, K. Lee, H. Lee, J. Shin, A simple unified framework for detecting out-of-distribution
    samples and adversarial attacks, NeurIPS 2018 (with one class here, and without its perturbed inputs);
    O. Rippel, P. Mertens, D. Merhof, Modeling the distribution of normal data in pre-trained deep features
    for anomaly detection, ICPR 2020 (shrinkage, in their code after the projection; and the components of
    least variance).
    """

    Settings = MahalanobisSettings
    settings: MahalanobisSettings
    ranks = frozenset({2, 3})
    part = "distance"

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.represent = Representation(settings, channels, self.size, pretrained=pretrained)
        self.ranks = self.represent.ranks
        dimensions = self.represent.dimensions
        self.mean: Tensor
        self.whitener: Tensor
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("whitener", torch.eye(dimensions))
        self.sums: tuple[Tensor, Tensor] | None = None

    def stages(self) -> Iterator[Stage]:
        yield Stage("moments", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        x = self.represent(batches["normal"]).double()
        shift, moments = self.sums or (x.mean(dim=0), x.new_zeros(x.shape[1] + 2, x.shape[1] + 2))
        x = x - shift
        rows = torch.cat((torch.ones_like(x[:, :1]), x.square().sum(dim=1, keepdim=True), x), dim=1)
        self.sums = shift, moments + rows.T @ rows

    def finish(self) -> None:
        """m and the whitening matrix. `UserError` with fewer than two normals."""
        if self.sums is None or self.sums[1][0, 0] < 2:
            raise UserError("mahalanobis needs at least two normal images")
        shift, moments = self.sums
        self.sums = None
        mean, covariance, shrinkage = moments_and_shrinkage(moments)
        variances, components = torch.linalg.eigh(covariance)
        middle = variances.mean()
        shrunk = (1 - shrinkage) * variances + shrinkage * middle
        shrunk = shrunk.clamp_min(LEAST_VARIANCE * middle.clamp_min(LEAST_VARIANCE))
        whitener = (components / shrunk.sqrt()).T
        if self.settings.least_variance is not None:
            first = int((variances <= NO_VARIANCE * variances[-1]).sum()) % len(variances)
            share = variances[first:].cpu().cumsum(0) / variances[first:].sum().cpu()
            kept = max(1, int((share <= self.settings.least_variance).sum()))
            whitener = whitener[first : first + kept]
        self.mean.copy_(shift + mean)
        self.whitener = whitener.to(self.mean, copy=True)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        centred = self.represent(batch) - self.mean
        with full_precision(centred):
            return self.one_part((centred @ self.whitener.T).norm(dim=1))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = MahalanobisSettings(of="pixels", side=6)
        return Tiny(settings, 1, (16,) * rank, {"moments": StageSettings(epochs=1, batch_size=4)})


def moments_and_shrinkage(moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean `[D]`, covariance `[D, D]` and Ledoit and Wolf's a from the sum over samples of
    (1, |x|², x)(1, |x|², x)^T.

    The shrinkage needs the sum of |x - m|⁴, and |x - m|² = |x|² - 2 m·x + |m|² is linear in (1, |x|², x).
    """
    n, dimensions = moments[0, 0], len(moments) - 2
    mean = moments[0, 2:] / n
    covariance = moments[2:, 2:] / n - torch.outer(mean, mean)
    squared_length = torch.cat((mean.square().sum()[None], torch.ones_like(mean[:1]), -2 * mean))
    fourth = squared_length @ moments @ squared_length / n
    variance = covariance.diagonal().mean()
    spread = covariance.square().sum()
    from_identity = (spread - dimensions * variance.square()).clamp_min(torch.finfo(torch.float64).tiny)
    return mean, covariance, ((fourth - spread).clamp_min(0) / n / from_identity).clamp_max(1)
