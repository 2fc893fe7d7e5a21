"""GANomaly: how far the code of an image lies from the code of its reconstruction."""

from __future__ import annotations

from typing import Literal

from secondread.detectors.blocks.adversarial.encoder_decoder_encoder import (
    EncoderDecoderEncoder,
    EncoderDecoderEncoderSettings,
    PyramidSettings,
)
from secondread.detectors.contract import Tiny
from secondread.detectors.detector_settings import StageSettings


class GANomalySettings(EncoderDecoderEncoderSettings):
    """The defaults are the paper's; MedIAnomaly has `reconstruction: l2`."""

    name: Literal["ganomaly"] = "ganomaly"


class GANomaly(EncoderDecoderEncoder):
    """The score is mean (E1(x) - E2(G(E1(x))))^2: see `EncoderDecoderEncoder`, which says how it is trained.
    The networks are DCGAN's (`networks.adversarial.pyramid`), and the decoder sees the code alone.

    Sources: S. Akcay, A. Atapour-Abarghouei, T. P. Breckon, GANomaly: semi-supervised anomaly detection via
    adversarial training, ACCV 2018, and the authors' code; other weights: Cai et al., MedIAnomaly, Medical
    Image Analysis 2025.
    """

    Settings = GANomalySettings

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = GANomalySettings(network=PyramidSettings(width=2, latent=4))
        stage = StageSettings(steps=3, batch_size=4)
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), {"game": stage})
