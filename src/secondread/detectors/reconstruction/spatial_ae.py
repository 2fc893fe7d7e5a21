"""Spatial autoencoder: the code keeps where things are."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from secondread.detectors.blocks.reconstruction import (
    NetworkSettings,
    ReconstructionDetector,
    ReconstructionSettings,
)
from secondread.networks.reconstruction import SpatialAutoencoder


class SpatialAESettings(ReconstructionSettings):
    name: Literal["spatial-ae"] = "spatial-ae"
    network: NetworkSettings = NetworkSettings(hidden=1024)


class SpatialAE(ReconstructionDetector):
    """error = (x - x')^2 with x' = decoder(encoder(x)), whose code is a map of 1/16 of the size.

    The loss is the error's mean. Where the autoencoder of `ae` squeezes a 64×64 image through 16 numbers,
    this one has 16 channels at 4×4 places: it rebuilds more, of what is abnormal as well.

    See `ReconstructionDetector` for stage, part and map, `networks.reconstruction.SpatialAutoencoder` for the
    network.

    Sources: Y. Cai, W. Zhang, H. Chen, K.-T. Cheng, MedIAnomaly, Medical Image Analysis 2025; C. Baur,
    S. Denner, B. Wiestler, N. Navab, S. Albarqouni, Autoencoders for unsupervised anomaly segmentation in
    brain MR images: a comparative study, Medical Image Analysis 2021.
    """

    Settings = SpatialAESettings

    @classmethod
    def build_network(cls, settings: Any, channels: int, size: tuple[int, ...]) -> nn.Module:
        network = settings.network.model_dump()
        return SpatialAutoencoder(len(size), channels, channels, size, **network)
