"""A U-Net that learns to see several kinds of drawn anomalies at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from secondread.anomalies.anomaly import Anomalies
from secondread.anomalies.build import AnyAnomalySettings
from secondread.anomalies.kinds.mixture import MixtureSettings
from secondread.detectors.blocks.anomaly_segmentation import AnomalySegmentation, SegmentationSettings
from secondread.detectors.contract import Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.unet.unet import UNet
from secondread.settings.base import Layers, Width


class AnomalyUNetSettings(SegmentationSettings):
    name: Literal["anomaly-unet"] = "anomaly-unet"
    anomalies: AnyAnomalySettings = MixtureSettings()
    width: Width = Field(16, description="channels of the U-Net's first level; each further one has twice")
    depth: Layers = Field(4, le=8, description="levels of the U-Net")
    dice: float = Field(1.0, ge=0, description="weight of the soft Dice loss beside cross-entropy; 0 = none")


class AnomalyUNet(AnomalySegmentation):
    """A U-Net on a mixture of kinds (`anomalies`, see `AnomalySegmentation`), with a soft Dice loss beside:

        loss = BCE + `dice` (1 - (2 Σ p t + 1) / (Σ p + Σ t + 1))

    with p the map, t the target, and the sums over the valid places of the whole batch, so that images
    without an anomaly count. The Dice term weighs a small lesion as much as a large one (F. Milletari,
    N. Navab, S.-A. Ahmadi, V-Net, 3DV 2016).

    No paper has this mixture. That several synthetic tasks generalise better than one is shown by M. Baugh
    et al., Many tasks make light work, MICCAI 2023. `ValueError` for sizes that the U-Net does not take.
    """

    Settings = AnomalyUNetSettings
    settings: AnomalyUNetSettings

    def build_network(self, *, pretrained: bool) -> nn.Module:
        settings = self.settings
        return UNet(len(self.size), self.channels, 1, self.size, width=settings.width, depth=settings.depth)

    def segmentation_loss(self, logits: Tensor, made: Anomalies, valid: Tensor | None) -> Tensor:
        loss = super().segmentation_loss(logits, made, valid)
        if not self.settings.dice:
            return loss
        p, t = logits.sigmoid(), made.target
        if valid is not None:
            p, t = p * valid, t * valid
        overlap = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        return loss + self.settings.dice * (1 - overlap)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = AnomalyUNetSettings(width=4, depth=2)
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(settings, 1, size, {"segmentation": StageSettings(steps=6, batch_size=4)})
