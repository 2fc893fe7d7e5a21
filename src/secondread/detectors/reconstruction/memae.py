"""MemAE: an autoencoder that rebuilds from a memory of normal codes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.reconstruction import ReconstructionDetector, ReconstructionSettings
from secondread.networks.memory import entropy
from secondread.networks.reconstruction import MemoryAutoencoder
from secondread.settings.base import Width


class MemAESettings(ReconstructionSettings):
    name: Literal["memae"] = "memae"
    slots: Width = 25
    shrink: float = Field(0.0, ge=0, lt=1, description="weights up to this become 0; MedIAnomaly has 0.0025")
    entropy_weight: float = Field(0.0002, ge=0)


class MemAE(ReconstructionDetector):
    """error = (x - x')^2 with x' = decoder(sum_i w_i m_i), where the weights w of the slots m address the
    memory by the code of x (`networks.memory`).

        loss = mean (x - x')^2 - entropy_weight * mean over images of sum_i w_i log w_i

    See `ReconstructionDetector` for network, stage, part and map.

    Source: D. Gong et al., Memorizing normality to detect anomaly: memory-augmented deep autoencoder for
    unsupervised anomaly detection, ICCV 2019; slots and weights as in Cai et al., Dual-distribution
    discrepancy, Medical Image Analysis 2023.
    """

    Settings = MemAESettings

    @classmethod
    def build_network(cls, settings: MemAESettings, channels: int, size: tuple[int, ...]) -> nn.Module:
        return MemoryAutoencoder(
            len(size),
            channels,
            channels,
            size,
            **settings.network.model_dump(),
            slots=settings.slots,
            shrink=settings.shrink,
        )

    @classmethod
    def terms(
        cls, settings: MemAESettings, output: Any, x: Tensor, valid: Tensor | None
    ) -> dict[str, Tensor]:
        addresses = entropy(output[1].float()).mean()
        return {
            **super().terms(settings, output, x, valid),
            "address_entropy": settings.entropy_weight * addresses,
        }

    @classmethod
    def mean(cls, output: Any) -> Tensor:
        rebuilt: Tensor = output[0]
        return rebuilt.float()
