"""Constrained autoencoder: an image and its reconstruction have one code."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.reconstruction import (
    NetworkSettings,
    ReconstructionDetector,
    ReconstructionSettings,
    refuse_one_image,
    symmetric,
)
from secondread.detectors.contract import Batches
from secondread.networks.reconstruction import Autoencoder


class ConstrainedAESettings(ReconstructionSettings):
    name: Literal["constrained-ae"] = "constrained-ae"
    network: NetworkSettings = NetworkSettings(hidden=1024)
    code_weight: float = Field(1.0, ge=0, description="of the distance between the two codes in the loss")


class ConstrainedAE(ReconstructionDetector):
    """error = (x - x')^2 with z = encoder(x), x' = decoder(z).

        loss = mean (x - x')^2 + code_weight * mean (z - encoder(x'))^2

    so that images that look alike have codes that lie close. In a training step the encoder sees images and
    reconstructions, each as a batch of its own; at scoring there is no second pass.

    See `ReconstructionDetector` for network, stage, part and map.

    Sources: X. Chen, E. Konukoglu, Unsupervised detection of lesions in brain MRI using constrained
    adversarial auto-encoders, MIDL 2018 (there with a critic of the codes); Y. Cai, W. Zhang, H. Chen,
    K.-T. Cheng, MedIAnomaly, Medical Image Analysis 2025 (this form).
    """

    Settings = ConstrainedAESettings
    settings: ConstrainedAESettings
    network: Autoencoder

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        x = symmetric(batch.images)
        code = self.network.encode(x)
        rebuilt = self.network.decode(code)
        again = self.network.encode(rebuilt)
        distance = (code.float() - again.float()).square().mean()
        return {
            **self.terms(self.settings, rebuilt, x, batch.valid),
            "code": self.settings.code_weight * distance,
        }
