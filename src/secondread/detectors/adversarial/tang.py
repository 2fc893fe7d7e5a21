"""A reading of Tang's one-class adversarial classifier of chest films."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.adversarial.collapse import held_out_images
from secondread.detectors.blocks.adversarial.encoder_decoder_encoder import (
    EncoderDecoderEncoder,
    EncoderDecoderEncoderSettings,
    PyramidSettings,
)
from secondread.detectors.contract import Batch, Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.adversarial.pyramid import halvings_of
from secondread.networks.precision import full_precision

COPIES = 0.5
"""The share of a foreign patch that comes out again, from which the generator passes on what it is given."""


class TangSettings(EncoderDecoderEncoderSettings):
    name: Literal["tang"] = "tang"
    coarsest_skips: int = Field(
        0, ge=0, le=8, description="coarsest levels whose maps the decoder sees; they copy"
    )


class Tang(EncoderDecoderEncoder):
    """A reading, not a reproduction: the layers are not published.

    `EncoderDecoderEncoder` with a U-Net as generator: its decoder also sees the encoder's maps of the
    `coarsest_skips` coarsest levels. The score is the reconstruction's mean error, the part `residual`. What
    is known of the original: three networks, a generator with an encoder before and behind it among them,
    that learn end to end from normal films, and a score by reconstruction.

    A U-Net with all its skips gives back what it is given, lesions too. How much comes through is measured on
    held-out normals, into whose middle a patch of another one is put:

        copied = <G(x') - G(x), x' - x> / |x' - x|^2  over the patch

    1 where it is copied, 0 where the generator does not see it. It stands in the log, and half or more is
    warned of. On chest films one skip copied two thirds, and the score ranked below chance; so none is on.

    Source: Y.-B. Tang, Y.-X. Tang, M. Han, J. Xiao, R. M. Summers, Abnormal chest X-ray identification with
    generative adversarial one-class classifier, ISBI 2019 (abstract).
    """

    Settings = TangSettings
    settings: TangSettings
    scored = "residual"

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.copied: Tensor
        self.register_buffer("copied", torch.tensor(torch.nan))

    def skips(self) -> tuple[int, ...]:
        levels = halvings_of(self.size, len(self.size))
        if self.settings.coarsest_skips > levels:
            raise ValueError(
                f"coarsest_skips is {self.settings.coarsest_skips}, and {self.size} has {levels} levels"
            )
        return tuple(range(levels - self.settings.coarsest_skips, levels))

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        images = held_out_images(held_out)
        figures = super().examine(iter([Batch((images + 1) / 2)]), generator)
        with full_precision(images):
            share = self.share_copied(images)
        self.copied.fill_(share)
        return {**figures, "share of a foreign patch that is copied": share}

    def share_copied(self, x: Tensor) -> float:
        """See the class; nan for fewer than two images."""
        inner = [slice(length // 4, length - length // 4) for length in self.size]
        middle = (slice(None), slice(None), *inner)
        foreign = x.clone()
        foreign[middle] = x.roll(1, dims=0)[middle]
        put = (foreign - x)[middle]
        came = (self.rebuilt(foreign)[1] - self.rebuilt(x)[1])[middle]
        whole = float(put.square().sum())
        return float((came * put).sum()) / whole if whole else torch.nan

    def warnings(self) -> tuple[str, ...]:
        told = super().warnings()
        if float(self.copied) >= COPIES:
            told += (
                f"the generator copies what it is given: {100 * float(self.copied):.0f} % of a foreign patch "
                "comes out again; lower detector.coarsest_skips or detector.network.latent",
            )
        return told

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = TangSettings(network=PyramidSettings(width=2, latent=4), coarsest_skips=1)
        stage = StageSettings(steps=3, batch_size=4)
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), {"game": stage})
