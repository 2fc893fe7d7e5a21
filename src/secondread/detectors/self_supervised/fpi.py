"""FPI, foreign patch interpolation: how much of another image is mixed into each place."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional

from secondread.anomalies.anomaly import Anomalies
from secondread.anomalies.kinds.fpi import ForeignPatchSettings
from secondread.detectors.blocks.anomaly_segmentation import AnomalySegmentation, SegmentationSettings, filled
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.segmentation.wide_residual import WideResidualSegmenter
from secondread.settings.base import Layers, Width

PATCHES = ForeignPatchSettings(share=1.0, alpha=(0.05, 0.95), target="alpha", differing=True)


class FPISettings(SegmentationSettings):
    name: Literal["fpi"] = "fpi"
    anomalies: ForeignPatchSettings = PATCHES
    depth: Layers = Field(16, description="of the network: 10 n + 6, or with one stage more 12 n + 7")
    width: Width = Field(4, description="of the network, in 16 channels")

    _own = field_validator("anomalies", mode="before")(filled(PATCHES))

    @model_validator(mode="after")
    def _classes_of_alpha(self) -> Self:
        if self.anomalies.levels is not None and self.anomalies.target != "alpha":
            raise ValueError("anomalies.levels are classes of alpha; set anomalies.target to alpha as well")
        return self


class FPI(AnomalySegmentation):
    """The map is the factor α by which another image is mixed into each place (see `AnomalySegmentation`).

    x' = (1 - α) x + α d in a box, of which α (0 elsewhere, and where both images are equal) is the target, by
    binary cross-entropy. With `anomalies.levels` L, α is one of 1/L, 2/L … 1 and the network tells these and
    0 apart as L + 1 classes, by cross-entropy; the map is the expected α then, Σ_k p_k k / L.

    The network is a `WideResidualSegmenter`, of depth 16 and width 4 for brains, 19 and 4 for abdomens (those
    with four levels), `ValueError` for sizes that it does not take. The image score is the mean of the map.

    Source: J. Tan, B. Hou, J. Batten, H. Qiu, B. Kainz, Detecting outliers with foreign patch interpolation,
    MELBA 2022 (arXiv 2011.04197), and the authors' code (jemtan/FPI).
    """

    Settings = FPISettings
    settings: FPISettings

    def build_network(self, *, pretrained: bool) -> nn.Module:
        settings, levels = self.settings, self.settings.anomalies.levels
        outputs = 1 if levels is None else levels + 1
        return WideResidualSegmenter(
            len(self.size),
            self.channels,
            outputs,
            self.size,
            depth=settings.depth,
            width=settings.width,
            bias=settings.prior is not None,
        )

    def start_at(self, logit: float) -> None:
        bias, levels = self.network.get_parameter("last.bias"), self.settings.anomalies.levels
        if levels is None:
            super().start_at(logit)
        else:  # the classes above 0 share it
            nn.init.constant_(bias[1:], logit - math.log(levels))

    def segmentation_loss(self, logits: Tensor, made: Anomalies, valid: Tensor | None) -> Tensor:
        levels = self.settings.anomalies.levels
        if levels is None:
            return super().segmentation_loss(logits, made, valid)
        classes = (made.target[:, 0] * levels).round().long()
        error = functional.cross_entropy(logits, classes, reduction="none")[:, None]
        return mean_over(error, valid).mean()

    def map_of(self, logits: Tensor) -> Tensor:
        levels = self.settings.anomalies.levels
        if levels is None:
            return super().map_of(logits)
        alpha = torch.linspace(0, 1, levels + 1, device=logits.device)
        return (logits.softmax(dim=1).movedim(1, -1) @ alpha)[:, None]

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = FPISettings(width=1)
        return Tiny(settings, 1, (16,) * rank, {"segmentation": StageSettings(steps=4, batch_size=4)})
