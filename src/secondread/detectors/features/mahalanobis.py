"""Mahalanobis: how far an image is from the normals' mean, measured by their covariance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from secondread.detectors.blocks.gaussian import ComponentsSettings, FittedGaussian
from secondread.detectors.blocks.representation import OnVectors, RepresentationSettings
from secondread.detectors.contract import Batch, Batches, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings


class MahalanobisSettings(ComponentsSettings, RepresentationSettings, DetectorSettings):
    name: Literal["mahalanobis"] = "mahalanobis"


class Mahalanobis(OnVectors, FittedGaussian):
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
    part = "distance"
    grows: Mapping[str, tuple[str | None, ...]] = {"whitener": ("k", None)}

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.begin(self.represent.dimensions)

    def stages(self) -> Iterator[Stage]:
        yield Stage("moments", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        self.add(self.represent.of(batches["normal"]))

    def finish(self) -> None:
        """m and the whitening matrix. `UserError` with fewer than two normals."""
        self.fit(self.settings, "mahalanobis")

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        return self.one_part(self.distance(self.represent.of(batch)))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = MahalanobisSettings(of="pixels", side=6)
        return Tiny(settings, 1, (16,) * rank, {"moments": StageSettings(epochs=1, batch_size=4)})
