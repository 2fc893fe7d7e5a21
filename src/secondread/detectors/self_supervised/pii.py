"""PII, Poisson image interpolation: how much of another image is blended into each place without a seam."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from torch import nn

from secondread.anomalies.kinds.pii import PoissonPatchSettings
from secondread.detectors.blocks.anomaly_segmentation import AnomalySegmentation, SegmentationSettings, filled
from secondread.detectors.contract import Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.segmentation.wide_residual import WideResidualSegmenter
from secondread.settings.base import Layers, Width

PATCHES = PoissonPatchSettings(share=1.0)


class PIISettings(SegmentationSettings):
    name: Literal["pii"] = "pii"
    anomalies: PoissonPatchSettings = PATCHES
    depth: Layers = Field(16, description="of the network: 10 n + 6, or with one stage more 12 n + 7")
    width: Width = Field(4, description="of the network, in 16 channels")

    _own = field_validator("anomalies", mode="before")(filled(PATCHES))


class PII(AnomalySegmentation):
    """The map is the factor α by which another image's gradients are blended into each place (see
    `AnomalySegmentation`): 0 outside the box and where nothing changes. The loss is binary cross-entropy, the
    network a `WideResidualSegmenter`, `ValueError` for sizes that it does not take. The image score is the
    map's mean; the authors' code has its 75th percentile as well (`image_score: quantile`).

    Source: J. Tan, B. Hou, T. Day, J. Simpson, D. Rueckert, B. Kainz, Detecting outliers with Poisson image
    interpolation, MICCAI 2021 (arXiv 2107.02622), and the authors' code (jemtan/PII).
    """

    Settings = PIISettings
    settings: PIISettings

    def build_network(self, *, pretrained: bool) -> nn.Module:
        settings = self.settings
        return WideResidualSegmenter(
            len(self.size),
            self.channels,
            1,
            self.size,
            depth=settings.depth,
            width=settings.width,
            bias=settings.prior is not None,
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = PIISettings(width=1)
        return Tiny(settings, 1, (16,) * rank, {"segmentation": StageSettings(steps=4, batch_size=4)})
