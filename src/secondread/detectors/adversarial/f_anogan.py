"""f-AnoGAN: a Wasserstein generator of normals, and an encoder that finds its latent at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.adversarial.collapse import CollapseSigns, held_out_images
from secondread.detectors.blocks.adversarial.latent_images import LatentImages
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
    values_of,
    wasserstein_critic,
    wasserstein_generator,
)
from secondread.networks.adversarial.residual import ResidualCritic, ResidualGenerator, ResidualTower
from secondread.networks.precision import full_precision
from secondread.settings.base import Settings, Width

CriticSteps = Annotated[int, Field(ge=1, le=100)]


class ResidualSettings(Settings):
    """See `networks.adversarial.residual`; the defaults are f-AnoGAN's, for 64x64."""

    width: Width = 64
    latent: Width = 128
    blocks: int = Field(4, ge=1, le=8, description="halvings of the grid; 4 brings 64 pixels to 4")


class FAnoGANSettings(DetectorSettings):
    """The defaults are the paper's."""

    name: Literal["f-anogan"] = "f-anogan"
    network: ResidualSettings = ResidualSettings()
    penalty: float = Field(10.0, ge=0, description="weight of the critic's gradient penalty")
    critic_steps: CriticSteps = 5
    encoder_training: Literal["ziz", "izi", "izi_f"] = Field("izi_f", description="how the encoder learns")
    code: Literal["tanh", "linear"] = Field("tanh", description="the end of the encoder")
    residual: Residual = "both"
    kappa: float = Field(1.0, ge=0, description="weight of the critic's features, in loss and score")


class FAnoGAN(LatentImages, Detector):
    """A generator G and a critic D of normals (WGAN-GP), then an encoder E, with G and D frozen.

        critic     mean D(G(z)) - mean D(x) + penalty * mean (|grad D| - 1)^2,  z ~ N(0, I)
        generator  -mean D(G(z))
        encoder    ziz    mean (z - E(G(z)))^2
                   izi    A_R = mean (x - G(E(x)))^2 over pixels
                   izi_f  A_R + kappa * A_F,  A_F = mean (f(x) - f(G(E(x))))^2,  f what D's last layer sees

    Stages `game` (`critic_steps` steps of the critic, each on a batch of its own, to one of the generator)
    and `encoder`. In the game G's batch statistics are those of the batch; from then on those that it kept.
    G, D and E share one residual body (`networks.adversarial.residual`), E's with batch normalisation. The
    game and scoring run in float32.

    Parts: `residual` A_R, `features` A_F, `izi_f` A_R + kappa A_F, `critic` -D(x), which is the
    discriminator's own score, and `latent`, mean (E(x) - E(G(E(x))))^2. The score is `izi_f` where the
    encoder learns so and `residual` otherwise, as published. The map `residual` is |x - G(E(x))|. Padding is
    left out of A_R; the critic sees it.

    Images `[N, C, *size]` in [0, 1] become x = 2 image - 1, clipped to [-1, 1]; ValueError for a size that is
    no multiple of 2^blocks. What it tells of collapse stands in `blocks.adversarial.collapse`.

    Source: T. Schlegl, P. Seeböck, S. M. Waldstein, G. Langs, U. Schmidt-Erfurth, f-AnoGAN: Fast unsupervised
    anomaly detection with generative adversarial networks, Medical Image Analysis 2019, and its code.
    """

    Settings = FAnoGANSettings
    settings: FAnoGANSettings
    ranks = frozenset({2, 3})
    part = "residual"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        network, rank = self.settings.network, len(self.size)
        body = {"width": network.width, "blocks": network.blocks}
        self.latent_shape = (network.latent,)
        self.generator = ResidualGenerator(rank, self.channels, self.size, latent=network.latent, **body)
        self.critic = ResidualCritic(rank, self.channels, self.size, **body)
        self.encoder = ResidualTower(rank, self.channels, self.size, network.latent, **body)
        self.signs = CollapseSigns(wasserstein=True)

    def stages(self) -> Iterator[Stage]:
        critic = Step((self.critic,), self.critic_loss, repeats=self.settings.critic_steps, name="critic")
        generator = Step((self.generator,), self.generator_loss, name="generator")
        yield Stage(
            "game",
            {"normal": 1.0},
            [critic, generator],
            validate=None,
            score=self.critic_score,
            examine=self.examine_game,
        )
        yield Stage(
            "encoder",
            {"normal": 1.0},
            [Step((self.encoder,), self.encoder_loss, name="encoder")],
            validate="steps",
            examine=self.examine_encoder,
        )

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        x = symmetric(batches["normal"].images)
        refuse_one_image(self, len(x))
        with torch.no_grad(), full_precision(x):
            fake = self.generator(self.drawn(len(x), generator))
        return wasserstein_critic(self.critic, x, fake, generator, penalty=self.settings.penalty)

    def generator_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        n = len(batches["normal"])
        refuse_one_image(self, n)
        with full_precision(self.place):
            return wasserstein_generator(self.critic, self.generator(self.drawn(n, generator)))

    def encoder_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        if self.settings.encoder_training == "ziz":
            z = self.drawn(len(batch), generator)
            with torch.no_grad():
                x = self.generator(z)
            return {"latent": (z - self.latents(x)).square().mean()}
        x = symmetric(batch.images)
        rebuilt = self.generator(self.latents(x))
        terms = {"residual": self.residual(x, rebuilt, batch.valid).mean()}
        if self.settings.encoder_training == "izi_f":
            terms["features"] = self.settings.kappa * self.feature_distance(x, rebuilt).mean()
        return terms

    def latents(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code.tanh() if self.settings.code == "tanh" else code

    def residual(self, x: Tensor, rebuilt: Tensor, valid: Tensor | None) -> Tensor:
        """A_R `[N]`."""
        return mean_over((x - rebuilt.float()).square(), valid)

    def feature_distance(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """A_F `[N]`."""
        difference = self.critic.features(x).float() - self.critic.features(rebuilt).float()
        return difference.square().mean(dim=1)

    def critic_score(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """-D(x) `[N]`: what there is before the encoder."""
        x = symmetric(batch.images)
        with full_precision(x):
            return -values_of(self.critic, x)

    def examine_game(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        x = held_out_images(held_out)
        with full_precision(x):
            fakes = self.generator(self.drawn(len(x), generator))
            return {
                **self.signs.of_generated(fakes, x),
                **self.signs.of_game(self.critic, x, fakes, generator),
            }

    def examine_encoder(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        x = held_out_images(held_out)
        with full_precision(x):
            return self.signs.of_rebuilt(self.generator(self.latents(x)), x)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            z = self.latents(x)
            rebuilt = self.generator(z)
            seen = one_sided(x, rebuilt, self.settings.residual)
            residual, features = self.residual(seen, rebuilt, batch.valid), self.feature_distance(x, rebuilt)
            values = {
                "residual": residual,
                "features": features,
                "izi_f": residual + self.settings.kappa * features,
                "critic": -values_of(self.critic, x),
                "latent": (z - self.latents(rebuilt)).square().mean(dim=1),
            }
            shown = {"residual": (seen - rebuilt).abs().mean(dim=1, keepdim=True)} if maps else {}
        return Scores({name: Part(value) for name, value in values.items()}, shown)

    def mixture(self) -> Mixture:
        chosen = "izi_f" if self.settings.encoder_training == "izi_f" else "residual"
        return Mixture({chosen: 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = FAnoGANSettings(network=ResidualSettings(width=2, latent=4, blocks=2), critic_steps=2)
        stage = StageSettings(steps=3, batch_size=4)
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), {"game": stage, "encoder": stage})
