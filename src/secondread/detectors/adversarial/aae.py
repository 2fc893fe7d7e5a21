"""AAE: an autoencoder whose codes a critic cannot tell from a standard normal distribution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.adversarial.collapse import CollapseSigns, held_out_images
from secondread.detectors.blocks.adversarial.latent_images import LatentImages
from secondread.detectors.blocks.adversarial.unified_settings import UnifiedSettings
from secondread.detectors.blocks.reconstruction import Residual, one_sided, refuse_one_image, symmetric
from secondread.detectors.blocks.valid_positions import mean_over
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
from secondread.networks.adversarial.losses import (
    wasserstein_critic,
    wasserstein_generator,
)
from secondread.networks.adversarial.normalisation import Norm
from secondread.networks.adversarial.unified import UnifiedDecoder, UnifiedEncoder, code_critic
from secondread.networks.precision import full_precision
from secondread.settings.base import Width


class AAESettings(DetectorSettings):
    """The defaults are those of the brain MRI study."""

    name: Literal["aae"] = "aae"
    network: UnifiedSettings = UnifiedSettings()
    norm: Norm = "batch"
    hidden: Width = Field(50, description="of the critic's two layers")
    penalty: float = Field(10.0, ge=0, description="weight of the critic's gradient penalty")
    critic_steps: int = Field(20, ge=1, le=100)
    code_weight: float = Field(
        0.0, ge=0, description="of mean (z - z')^2, z' the code of the reconstruction: a constrained AAE"
    )
    residual: Residual = "both"
    scored: Literal["residual", "squared"] = Field("residual", description="which part is the score")


class AAE(LatentImages, Detector):
    """An encoder E, a decoder G, and a critic D of codes against draws from N(0, I) (WGAN-GP).

        autoencoder  mean (x - G(E(x)))^2 + code_weight * mean (E(x) - E(G(E(x))))^2
        critic       mean D(E(x)) - mean D(z) + penalty * mean (|grad D| - 1)^2,  z ~ N(0, I)
        encoder      -mean D(E(x))

    Stage `game`: to one step of the autoencoder `critic_steps` of the critic and one of the encoder. Parts
    `residual`, mean |x - x'|, and `squared`, mean (x - x')^2; map `residual`, |x - x'|. Padding is left out.

    Images `[N, C, *size]` in [0, 1] become x = 2 image - 1, clipped to [-1, 1]; ValueError for a size that is
    no multiple of 2^halvings.

    Sources: A. Makhzani et al., Adversarial autoencoders, 2015; X. Chen, E. Konukoglu, Unsupervised detection
    of lesions in brain MRI using constrained adversarial auto-encoders, 2018; C. Baur et al., Autoencoders
    for unsupervised anomaly segmentation in brain MR images, Medical Image Analysis 2021, and its code.
    """

    Settings = AAESettings
    settings: AAESettings
    ranks = frozenset({2, 3})
    part = "residual"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        network, rank = self.settings.network, len(self.size)
        body, norm = network.body(), self.settings.norm
        self.latent_shape = (network.latent,)
        self.encoder = UnifiedEncoder(rank, self.channels, self.size, network.latent, norm=norm, **body)
        self.decoder = UnifiedDecoder(
            rank, self.channels, self.size, network.latent, norm=norm, dropout=network.dropout, **body
        )
        self.critic = code_critic(network.latent, self.settings.hidden)
        self.signs = CollapseSigns(wasserstein=True, fakes="codes", reals="draws from the prior")

    def stages(self) -> Iterator[Stage]:
        autoencoder: tuple[nn.Module, ...] = (self.encoder, self.decoder)
        yield Stage(
            "game",
            {"normal": 1.0},
            [
                Step(autoencoder, self.autoencoder_loss, name="autoencoder"),
                Step((self.critic,), self.critic_loss, repeats=self.settings.critic_steps, name="critic"),
                Step((self.encoder,), self.encoder_loss, name="encoder"),
            ],
            validate=self.autoencoder_loss,
            examine=self.examine,
        )

    def autoencoder_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        x = symmetric(batch.images)
        z = self.code(x)
        rebuilt = self.decoder(z)
        terms = {"reconstruction": mean_over((x - rebuilt.float()).square(), batch.valid).mean()}
        if self.settings.code_weight:
            distance = (z.float() - self.latents(rebuilt).float()).square().mean()
            terms["code"] = self.settings.code_weight * distance
        return terms

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        x = symmetric(batches["normal"].images)
        refuse_one_image(self, len(x))
        with torch.no_grad():
            codes = self.code(x)
        prior = self.drawn(len(x), generator)
        return wasserstein_critic(self.critic, prior, codes, generator, penalty=self.settings.penalty)

    def encoder_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        x = symmetric(batches["normal"].images)
        refuse_one_image(self, len(x))
        return wasserstein_generator(self.critic, self.code(x))

    def code(self, x: Tensor) -> Tensor:
        """E(x) with dropout in training."""
        return nn.functional.dropout(self.latents(x), self.settings.network.dropout, self.encoder.training)

    def latents(self, x: Tensor) -> Tensor:
        codes: Tensor = self.encoder(x)
        return codes

    def generated(self, z: Tensor) -> Tensor:
        images: Tensor = self.decoder(z)
        return images

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        x = held_out_images(held_out)
        with full_precision(x):
            codes, prior = self.latents(x), self.drawn(len(x), generator)
            return {
                **self.signs.of_generated(codes, prior),
                **self.signs.of_rebuilt(self.decoder(codes), x),
                **self.signs.of_game(self.critic, prior, codes, generator),
            }

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            rebuilt = self.decoder(self.latents(x))
        difference = one_sided(x, rebuilt, self.settings.residual) - rebuilt
        residual = difference.abs().mean(dim=1, keepdim=True)
        parts = {
            "residual": Part(mean_over(residual, batch.valid)),
            "squared": Part(mean_over(difference.square(), batch.valid)),
        }
        return Scores(parts, {"residual": residual} if maps else {})

    def mixture(self) -> Mixture:
        return Mixture({self.settings.scored: 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        network = UnifiedSettings(width=2, widest=8, halvings=2, latent=4)
        settings = AAESettings(network=network, hidden=4, critic_steps=2, code_weight=1.0)
        stage = StageSettings(steps=3, batch_size=4)
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), {"game": stage})
