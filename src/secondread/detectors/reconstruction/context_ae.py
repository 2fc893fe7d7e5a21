"""Context autoencoder: it learns to fill in a square that was erased."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.erased_boxes import box_side, in_box
from secondread.detectors.blocks.reconstruction import (
    NetworkSettings,
    ReconstructionDetector,
    ReconstructionSettings,
    refuse_one_image,
    symmetric,
)
from secondread.detectors.contract import Batches


class ContextAESettings(ReconstructionSettings):
    name: Literal["context-ae"] = "context-ae"
    network: NetworkSettings = NetworkSettings(hidden=1024)
    erased: float = Field(0.024, gt=0, le=1, description="share of the image that is erased in training")


class ContextAE(ReconstructionDetector):
    """error = (x - x')^2 with x' = decoder(encoder(x)) of the whole image.

    In training one square (a cube, in volumes) of each image is erased to -1, the darkest value, at a place
    drawn anew every time, and the loss is the mean of (x - decoder(encoder(erased x)))^2 over the clean
    image. At scoring nothing is erased.

    See `ReconstructionDetector` for network, stage, part and map.

    Sources: D. Zimmerer et al., Context-encoding variational autoencoder for unsupervised anomaly detection,
    2018; Y. Cai, W. Zhang, H. Chen, K.-T. Cheng, MedIAnomaly, Medical Image Analysis 2025 (CeAE, this form).
    """

    Settings = ContextAESettings
    settings: ContextAESettings

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        x = symmetric(batch.images)
        output = self.network(self.erased(x, generator))
        return self.terms(self.settings, output, x, batch.valid)

    def erased(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x with one box of each image at -1."""
        side = box_side(self.size, self.settings.erased)
        sides = torch.full((len(x),), side, device=x.device)
        return torch.where(in_box(sides, generator, self.size), -1.0, x)
