"""AnoGAN: the nearest image that a generator of normals can make, searched for each image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.adversarial.collapse import CollapseSigns, held_out_images
from secondread.detectors.blocks.adversarial.encoder_decoder_encoder import PyramidSettings
from secondread.detectors.blocks.adversarial.latent_images import LatentImages
from secondread.detectors.blocks.adversarial.latent_search import SearchSettings, misfit, nearest_latents
from secondread.detectors.blocks.reconstruction import refuse_one_image, symmetric
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Step,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.adversarial.losses import told_fake, told_real
from secondread.networks.adversarial.pyramid import DownPyramid, UpPyramid
from secondread.networks.precision import full_precision


class AnoGANSettings(DetectorSettings):
    """The defaults are the paper's."""

    name: Literal["anogan"] = "anogan"
    network: PyramidSettings = PyramidSettings()
    prior: Literal["uniform", "normal"] = "uniform"
    feature_share: float = Field(0.1, ge=0, le=1, description="of the features in the search and the score")
    search: SearchSettings = SearchSettings()


class AnoGAN(LatentImages, Detector):
    """A generator G of normals and a discriminator D with features f; z is searched for each image.

        discriminator  (-log D(x) - log(1 - D(G(z)))) / 2
        generator      -log D(G(z))
        search         z* = argmin (1 - s) R(z) + s F(z),  s = feature_share
                       R = sum over pixels of |x - G(z)|,  F = sum over features of |f(x) - f(G(z))|

    The search takes steps of Adam from random starts (`search`: steps, rate, restarts) and keeps the best;
    the starts come from the image's own stream of draws, so a score depends on the image alone. Each step is
    a pass through both networks and back: a score costs some hundred of them.

    Stage `game`. Parts: `residual` R, `discrimination` F, and `loss`, the mixed one, which is the score; map
    `residual`, |x - G(z*)|. Padding is left out of R. Scoring runs in float32.

    Images `[N, C, *size]` in [0, 1] become x = 2 image - 1, clipped to [-1, 1].

    Source: T. Schlegl, P. Seeböck, S. M. Waldstein, U. Schmidt-Erfurth, G. Langs, Unsupervised anomaly
    detection with generative adversarial networks to guide marker discovery, IPMI 2017.
    """

    Settings = AnoGANSettings
    settings: AnoGANSettings
    ranks = frozenset({2, 3})
    part = "residual"
    gives_map = True
    gradients_at_scoring = True
    costly_scoring = True

    def build(self, *, pretrained: bool) -> None:
        network, rank = self.settings.network, len(self.size)
        self.latent_shape = (network.latent,)
        self.generator = UpPyramid(rank, self.channels, self.size, network.latent, width=network.width)
        self.discriminator = DownPyramid(rank, self.channels, self.size, 1, width=network.width)
        self.signs = CollapseSigns(wasserstein=False)

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "game",
            {"normal": 1.0},
            [
                Step((self.discriminator,), self.critic_loss, name="discriminator"),
                Step((self.generator,), self.generator_loss, name="generator"),
            ],
            validate=None,
            examine=self.examine,
        )

    def drawn(self, n: int, generator: torch.Generator) -> Tensor:
        if self.settings.prior == "normal":
            return super().drawn(n, generator)
        return (2 * torch.rand(n, *self.latent_shape, generator=generator) - 1).to(self.place.device)

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        x = symmetric(batches["normal"].images)
        refuse_one_image(self, len(x))
        with torch.no_grad():
            fake = self.generator(self.drawn(len(x), generator))
        return {
            "real": told_real(self.discriminator(x)) / 2,
            "fake": told_fake(self.discriminator(fake)) / 2,
        }

    def generator_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        n = len(batches["normal"])
        refuse_one_image(self, n)
        return {"fool": told_real(self.discriminator(self.generator(self.drawn(n, generator))))}

    def latents(self, x: Tensor) -> Tensor:
        """As found from one fixed start."""
        start = self.drawn(1, torch.Generator().manual_seed(0)).expand(len(x), 1, -1)
        return self.searched(x, start, None)[0]

    def searched(self, x: Tensor, starts: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """z* `[N, latent]`, R and F `[N]`, from starts `[N, restarts, latent]`."""
        features, share = self.discriminator.features, self.settings.feature_share
        wanted = features(x)

        def terms(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            own = None if valid is None else valid[rows]
            return misfit(x[rows], self.generator(z), wanted[rows], features, own)

        return nearest_latents(terms, starts, share, self.settings.search)

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        x = held_out_images(held_out)
        with full_precision(x):
            fakes = self.generator(self.drawn(len(x), generator))
            return {
                **self.signs.of_generated(fakes, x),
                **self.signs.of_game(self.discriminator, x, fakes, generator),
            }

    def why_no_graph(self) -> str | None:
        return "searches a latent code by gradient steps for each image"

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        shape = (self.settings.search.restarts, *self.latent_shape)
        starts = noise.normal(shape) if self.settings.prior == "normal" else 2 * noise.uniform(shape) - 1
        with full_precision(x):
            z, residual, discrimination = self.searched(x, starts, batch.valid)
            shown = {}
            if maps:
                with torch.no_grad():
                    shown["residual"] = (x - self.generator(z)).abs().mean(dim=1, keepdim=True)
        share = self.settings.feature_share
        parts = {
            "residual": residual,
            "discrimination": discrimination,
            "loss": (1 - share) * residual + share * discrimination,
        }
        return Scores({name: Part(value) for name, value in parts.items()}, shown)

    def mixture(self) -> Mixture:
        return Mixture({"loss": 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = AnoGANSettings(
            network=PyramidSettings(width=2, latent=4), search=SearchSettings(steps=2, restarts=2)
        )
        stage = StageSettings(steps=3, batch_size=4)
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), {"game": stage})
