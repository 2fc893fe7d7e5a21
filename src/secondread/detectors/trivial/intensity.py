"""Intensity: brightness inside the body, the baseline that deep models of brain MRI often lose to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from secondread.detectors.blocks.valid_positions import highest_over
from secondread.detectors.contract import Batch, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings


class IntensitySettings(DetectorSettings):
    name: Literal["intensity"] = "intensity"
    foreground: float = Field(0.05, ge=0, description="values above it are foreground; holes are filled")
    erosion: int = Field(
        8, ge=0, le=1_000, description="pixels taken off the foreground's rim, where skull and fat lie"
    )
    top_share: float = Field(0.01, gt=0, le=1, description="share of pixels that the image score averages")


class Intensity(Detector):
    """map = x inside the eroded foreground, 0 elsewhere; score = mean of the map's highest pixels.

    Nothing is fitted. Made for sequences on which lesions are bright, such as FLAIR.

    Source: F. Meissen, G. Kaissis, D. Rueckert, Challenging current semi-supervised anomaly segmentation
    methods for brain MRI, BrainLes 2021.
    """

    Settings = IntensitySettings
    settings: IntensitySettings
    ranks = frozenset({2, 3})
    part = "intensity"
    gives_map = True

    def stages(self) -> Iterator[Stage]:
        return iter(())

    def why_no_graph(self) -> str | None:
        return "fills the holes of each image's foreground with SciPy"

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        brightness = batch.images.float().mean(dim=1, keepdim=True)
        brightness = brightness * self._inside(brightness)
        top = highest_over(brightness, batch.valid, self.settings.top_share)
        return self.one_part(top, brightness if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        return Tiny(IntensitySettings(erosion=1), 1, (16,) * rank, {})

    def _inside(self, brightness: Tensor) -> Tensor:
        """`[N, 1, *S]`, 1 in the eroded foreground."""
        masks = []
        for image in (brightness[:, 0] > self.settings.foreground).cpu().numpy():
            filled = ndimage.binary_fill_holes(image)
            if self.settings.erosion:
                filled = ndimage.binary_erosion(filled, iterations=self.settings.erosion, border_value=1)
            masks.append(torch.from_numpy(filled))
        return torch.stack(masks)[:, None].to(brightness)
