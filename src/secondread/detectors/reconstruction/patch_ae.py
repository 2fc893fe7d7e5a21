"""Sato's autoencoder of patches: an image is as abnormal as the patch of it that is rebuilt worst."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from secondread.detectors.blocks.reconstruction import (
    NetworkSettings,
    ReconstructionDetector,
    ReconstructionSettings,
)
from secondread.detectors.contract import Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.autoencoders.patch_autoencoder import PatchAutoencoder
from secondread.settings.base import Width


class PatchAESettings(ReconstructionSettings):
    """`network` is not used, and refused where it is set: `widths` has the channels of each halving, and
    `code` those of the code, which keeps its place (no linear layer), so that patches may have any size that
    halves so often."""

    name: Literal["patch-ae"] = "patch-ae"
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] = (16, 32, 64)
    code: Width = 32

    @model_validator(mode="after")
    def _no_shared_network(self) -> Self:
        if self.network != NetworkSettings():
            raise ValueError("network is not used by patch-ae; set widths and code in its place")
        return self


class PatchAE(ReconstructionDetector):
    """error = (x - x')^2 with x' = decoder(encoder(x)) of a patch x; the patch's score is its mean error.

    With the recipe's `window` cubes of a volume are drawn in training, and overlapping cubes are scored; the
    volume's score is

        J = max over cubes of (1 / n) ||x - x'||^2,

    with n the values of a cube (`window: {score: max}`; `top` and `quantile` are less moved by noise).
    Without a window the whole image is one patch.

    Images `[N, C, *size]` in [0, 1] become 2 image - 1; each length is a multiple of 2^len(widths), at least
    two for each halving. Stage `reconstruction` on normals. Part and map: `reconstruction`. ValueError for
    other sizes.

    Source: D. Sato, S. Hanaoka, Y. Nomura, T. Takenaga, S. Miki, T. Yoshikawa, N. Hayashi, O. Abe, A
    primitive study on unsupervised anomaly detection with an autoencoder in emergency head CT volumes, SPIE
    Medical Imaging 2018.
    """

    Settings = PatchAESettings

    @classmethod
    def build_network(cls, settings: PatchAESettings, channels: int, size: tuple[int, ...]) -> nn.Module:
        return PatchAutoencoder(len(size), channels, size, widths=settings.widths, code=settings.code)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        stage = StageSettings(steps=6, batch_size=4)
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(PatchAESettings(widths=(4, 4), code=2), 1, size, {"reconstruction": stage})
