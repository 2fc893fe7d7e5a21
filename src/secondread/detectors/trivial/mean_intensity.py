"""Mean intensity: the plainest baseline that a method must beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings


class MeanIntensitySettings(DetectorSettings):
    name: Literal["mean-intensity"] = "mean-intensity"
    tail: Literal["upper", "two"] = "upper"


class MeanIntensity(Detector):
    """score = mean of the image over channels and valid positions, brighter = more abnormal.

    Nothing is fitted. `tail: two` ranks by the distance from the normals' median instead.
    """

    Settings = MeanIntensitySettings
    settings: MeanIntensitySettings
    ranks = frozenset({2, 3})
    part = "intensity"

    def stages(self) -> Iterator[Stage]:
        return iter(())

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        return self.one_part(mean_over(batch.images, batch.valid), tail=self.settings.tail)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        return Tiny(MeanIntensitySettings(), 1, (16,) * rank, {})
