"""Context-encoding VAE: a variational autoencoder that also learns to fill in erased squares."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.erased_boxes import in_box
from secondread.detectors.contract import Batches, Tiny
from secondread.detectors.variational.vae import VAE, VAESettings


class CeVAESettings(VAESettings):
    name: Literal["cevae"] = "cevae"  # type: ignore[assignment]
    context_weight: float = Field(
        0.5, ge=0, le=1, description="of the branch that fills in; the rest is the VAE's"
    )
    squares: int = Field(3, ge=1, le=64, description="0 to one fewer than so many are erased, at random")
    largest: float = Field(0.5, gt=0, le=1, description="side of a square, as a share of the longest axis")


class CeVAE(VAE):
    """loss = (1 - f) * (rec(x) + kl_weight * KL) + f * rec(x; erased x), with f = `context_weight`.

    The second branch encodes the image with squares (cubes, in volumes) erased, decodes the mean of its
    latent variables, without noise and KL, and is compared with the clean image. Of each image the number of
    squares is drawn from 0 up to one fewer than `squares`, their side, the same for all of one image, from 0
    to `largest` of the longest axis, and for each square a place and a value between the least and the
    largest of the batch.

    Scores, maps and stage are those of `VAE`.

    Sources: D. Zimmerer, S. A. A. Kohl, J. Petersen, F. Isensee, K. H. Maier-Hein, Context-encoding
    variational autoencoder for unsupervised anomaly detection, 2018; the authors' code (MIC-DKFZ/mood), whose
    counts and sides are these; there the second of two squares takes the first one's place, here both are
    erased.
    """

    Settings = CeVAESettings
    settings: CeVAESettings

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch, settings = batches["normal"], self.settings
        x, valid, context = self.of_a_step(batch), batch.valid, settings.context_weight
        terms = {}
        if context < 1:
            found = self.energies(x, valid, generator)
            terms["reconstruction"] = (1 - context) * found.reconstruction.mean()
            terms["kl"] = (1 - context) * settings.kl_weight * found.kl.mean()
        if context > 0:
            filled = self.energies(self.erased(x, generator), valid, against=x)
            terms["context"] = context * filled.reconstruction.mean()
        return terms

    def erased(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x with squares of one value each."""
        settings, shape = self.settings, (len(x), *[1] * (x.dim() - 1))

        def drawn() -> Tensor:
            return torch.rand(len(x), generator=generator, device=generator.device).to(x.device)

        count = (drawn() * settings.squares).floor().clamp_max(settings.squares - 1)
        side = (drawn() * settings.largest * max(self.size)).floor().clamp_max(min(self.size))
        low, high = x.min(), x.max()
        for number in range(settings.squares - 1):
            inside = in_box(torch.where(number < count, side, 0), generator, self.size)
            value = (low + (high - low) * drawn()).view(shape)
            x = torch.where(inside, value, x)
        return x

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        tiny = super().tiny(rank)
        if rank == 3:
            return tiny
        settings = tiny.settings.model_copy(update={"maps": ("combined",)})
        return Tiny(settings, tiny.channels, tiny.size, tiny.stages)
