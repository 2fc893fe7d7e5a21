"""AnoVAEGAN: a variational autoencoder whose decoder also plays against a critic of images."""

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
from secondread.detectors.blocks.variational.normal_divergence import normal_divergence
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
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
from secondread.networks.adversarial.unified import UnifiedCritic, UnifiedDecoder, UnifiedEncoder
from secondread.networks.precision import full_precision


class AnoVAEGANSettings(DetectorSettings):
    """The defaults are those of the brain MRI study."""

    name: Literal["anovaegan"] = "anovaegan"
    network: UnifiedSettings = UnifiedSettings()
    encoder_norm: Norm = "batch"
    decoder_norm: Norm = "layer"
    kl_weight: float = Field(1.0, ge=0)
    penalty: float = Field(10.0, ge=0, description="weight of the critic's gradient penalty")
    critic_steps: int = Field(5, ge=1, le=100)
    residual: Residual = "both"


class AnoVAEGAN(LatentImages, Detector):
    """An encoder with mean m(x) and log deviation, a decoder G, and a critic D of images (WGAN-GP). What D
    sees as fake are the reconstructions x' = G(z), z = m(x) + s(x) e, e ~ N(0, I), and never draws from the
    prior.

        autoencoder  sum over pixels of |x - x'| + kl_weight * KL(N(m, s^2) || N(0, I)), mean over images
        generator    -mean D(x')
        critic       mean D(x') - mean D(x) + penalty * mean over images of (|grad D| - 1)^2

    D has a value at each position of its coarse grid, and D(x) is their mean; its gradient's norm is that
    over the whole image. Stage `game`: one step of the autoencoder, one of the decoder alone against D, then
    `critic_steps` of the critic. Parts `residual`, mean |x - G(m(x))|, which is the score, and `kl`; map
    `residual`. Padding is left out of the residual.

    Images `[N, C, *size]` in [0, 1] become x = 2 image - 1, clipped to [-1, 1]; ValueError for a size that is
    no multiple of 2^halvings.

    Sources: C. Baur, B. Wiestler, S. Albarqouni, N. Navab, Deep autoencoding models for unsupervised anomaly
    segmentation in brain MR images, BrainLes 2018; C. Baur et al., Medical Image Analysis 2021, and its code.
    """

    Settings = AnoVAEGANSettings
    settings: AnoVAEGANSettings
    ranks = frozenset({2, 3})
    part = "residual"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        network, body = settings.network, settings.network.body()
        self.latent_shape = (network.latent,)
        self.encoder = UnifiedEncoder(
            rank, self.channels, self.size, 2 * network.latent, norm=settings.encoder_norm, **body
        )
        self.decoder = UnifiedDecoder(
            rank,
            self.channels,
            self.size,
            network.latent,
            norm=settings.decoder_norm,
            dropout=network.dropout,
            **body,
        )
        self.critic = UnifiedCritic(rank, self.channels, **body)
        self.signs = CollapseSigns(wasserstein=True, fakes="reconstructions")

    def stages(self) -> Iterator[Stage]:
        autoencoder: tuple[nn.Module, ...] = (self.encoder, self.decoder)
        yield Stage(
            "game",
            {"normal": 1.0},
            [
                Step(autoencoder, self.autoencoder_loss, name="autoencoder"),
                Step((self.decoder,), self.generator_loss, name="generator"),
                Step((self.critic,), self.critic_loss, repeats=self.settings.critic_steps, name="critic"),
            ],
            validate=self.autoencoder_loss,
            examine=self.examine,
        )

    def autoencoder_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        x = symmetric(batch.images)
        mean, log_deviation = self.code(x)
        rebuilt = self.decoder(self.around(mean, log_deviation, generator))
        error = (x - rebuilt.float()).abs()
        error = error if batch.valid is None else error * batch.valid
        return {
            "reconstruction": error.flatten(1).sum(dim=1).mean(),
            "kl": self.settings.kl_weight * divergence(mean, log_deviation).mean(),
        }

    def generator_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return wasserstein_generator(self.critic, self.rebuilt(batches, generator))

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        x = symmetric(batches["normal"].images)
        with torch.no_grad():
            fake = self.rebuilt(batches, generator)
        return wasserstein_critic(self.critic, x, fake, generator, penalty=self.settings.penalty)

    def rebuilt(self, batches: Batches, generator: torch.Generator) -> Tensor:
        """x', with a drawn code."""
        x = symmetric(batches["normal"].images)
        refuse_one_image(self, len(x))
        with torch.no_grad():
            mean, log_deviation = self.code(x)
        images: Tensor = self.decoder(self.around(mean, log_deviation, generator))
        return images

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation `[N, latent]`, float32, with dropout in training."""
        share, training = self.settings.network.dropout, self.encoder.training
        mean, log_deviation = self.encoder(x).float().chunk(2, dim=1)
        dropout = nn.functional.dropout
        return dropout(mean, share, training), dropout(log_deviation, share, training)

    def around(self, mean: Tensor, log_deviation: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of the code; the mean itself in eval mode."""
        if not self.encoder.training:
            return mean
        return mean + log_deviation.exp() * self.drawn(len(mean), generator)

    def latents(self, x: Tensor) -> Tensor:
        mean: Tensor = self.encoder(x).chunk(2, dim=1)[0]
        return mean

    def generated(self, z: Tensor) -> Tensor:
        images: Tensor = self.decoder(z)
        return images

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        x = held_out_images(held_out)
        with full_precision(x):
            rebuilt = self.decoder(self.latents(x))
            return {
                **self.signs.of_rebuilt(rebuilt, x),
                **self.signs.of_game(self.critic, x, rebuilt, generator),
            }

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            mean, log_deviation = self.code(x)
            rebuilt = self.decoder(mean)
        seen = one_sided(x, rebuilt, self.settings.residual)
        residual = (seen - rebuilt).abs().mean(dim=1, keepdim=True)
        parts = {
            "residual": Part(mean_over(residual, batch.valid)),
            "kl": Part(divergence(mean, log_deviation)),
        }
        return Scores(parts, {"residual": residual} if maps else {})

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        network = UnifiedSettings(width=2, widest=8, halvings=2, latent=4)
        settings = AnoVAEGANSettings(network=network, critic_steps=2)
        stage = StageSettings(steps=3, batch_size=4)
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), {"game": stage})


def divergence(mean: Tensor, log_deviation: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0, I)) in nats, `[N]`."""
    return normal_divergence(mean, 2 * log_deviation).sum(dim=1)
