"""NSA, natural synthetic anomalies: how much each place was changed by what was blended in from elsewhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from torch import nn

from secondread.anomalies.kinds.nsa import NaturalSettings
from secondread.detectors.blocks.anomaly_segmentation import AnomalySegmentation, SegmentationSettings, filled
from secondread.detectors.contract import Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.segmentation.residual import ResidualSegmenter
from secondread.settings.base import Width

PATCHES = NaturalSettings(share=1.0)


class NSASettings(SegmentationSettings):
    name: Literal["nsa"] = "nsa"
    anomalies: NaturalSettings = PATCHES
    width: Width = Field(64, description="channels of the network's first stage; a multiple of 4")
    pool: bool = Field(
        True, description="ResNet-18's pooling after its first convolution; off, the map is twice as fine"
    )

    _own = field_validator("anomalies", mode="before")(filled(PATCHES))


class NSA(AnomalySegmentation):
    """The map is the logistic function of the size of a change (see `AnomalySegmentation`), by binary
    cross-entropy: up to three boxes of another image are resized, moved anywhere and Poisson-blended. The
    network is a `ResidualSegmenter`, `ValueError` for sizes and widths that it does not take. The image score
    is the map's mean.

    Source: H. M. Schlüter, J. Tan, B. Hou, B. Kainz, Natural synthetic anomalies for self-supervised anomaly
    detection and localization, ECCV 2022 (arXiv 2109.15222), and its code.
    """

    Settings = NSASettings
    settings: NSASettings

    def build_network(self, *, pretrained: bool) -> nn.Module:
        settings = self.settings
        return ResidualSegmenter(
            len(self.size),
            self.channels,
            1,
            self.size,
            width=settings.width,
            pool=settings.pool,
            bias=settings.prior is not None,
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = NSASettings(width=16, pool=False)
        return Tiny(settings, 1, (16,) * rank, {"segmentation": StageSettings(steps=4, batch_size=4)})
