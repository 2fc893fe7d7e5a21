"""What GANomaly and Tang's classifier share: a generator between two encoders, against a discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.adversarial.collapse import CollapseSigns, held_out_images
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
)
from secondread.detectors.detector_settings import DetectorSettings
from secondread.networks.adversarial.losses import told_fake, told_real
from secondread.networks.adversarial.pyramid import DownPyramid, UpPyramid
from secondread.networks.precision import full_precision
from secondread.settings.base import Settings, Width


class PyramidSettings(Settings):
    """See `networks.adversarial.pyramid`."""

    width: Width = 64
    latent: Width = 100


class EncoderDecoderEncoderSettings(DetectorSettings):
    network: PyramidSettings = PyramidSettings()
    adversarial: Literal["features", "cross_entropy"] = Field(
        "features", description="what the generator has of the discriminator"
    )
    reconstruction: Literal["l1", "l2"] = "l1"
    adversarial_weight: float = Field(1.0, ge=0)
    reconstruction_weight: float = Field(50.0, ge=0)
    latent_weight: float = Field(1.0, ge=0)
    residual: Residual = "both"
    restart_below: float = Field(
        1e-5,
        ge=0,
        description="loss on one side, below which the discriminator starts anew after an epoch",
    )


class EncoderDecoderEncoder(Detector):
    """z = E1(x), x' = G(z), z' = E2(x'), and a discriminator D with features f.

        generator      a |f(x) - f(x')|^2 + r |x - x'| + l |z - z'|^2, each a mean; the first is -log D(x')
                       with `adversarial: cross_entropy`, the second squared with `reconstruction: l2`
        discriminator  (-log D(x) - log(1 - D(x'))) / 2

    One stage `game`, one step of the generator and its encoders to one of the discriminator, on the same
    batch. A subclass may give the decoder the maps of E1 (`skips`). Parts `latent`, mean (z - z')^2, and
    `residual`, mean |x - x'|; the map `residual` is |x - x'|. Scoring runs in eval mode and float32.

    Images `[N, C, *size]` in [0, 1] become x = 2 image - 1, clipped to [-1, 1]. Padding is left out of the
    residual.
    """

    Settings: ClassVar[type[DetectorSettings]] = EncoderDecoderEncoderSettings
    settings: Any
    ranks = frozenset({2, 3})
    part = "residual"
    gives_map = True
    scored: ClassVar[str] = "latent"

    def build(self, *, pretrained: bool) -> None:
        network, rank = self.settings.network, len(self.size)
        form: Any = {"width": network.width}
        self.encoder = DownPyramid(rank, self.channels, self.size, network.latent, **form)
        self.decoder = UpPyramid(rank, self.channels, self.size, network.latent, skips=self.skips(), **form)
        self.second_encoder = DownPyramid(rank, self.channels, self.size, network.latent, **form)
        self.discriminator = self.new_discriminator()
        self.signs = CollapseSigns(wasserstein=False, fakes="reconstructions")

    def skips(self) -> tuple[int, ...]:
        return ()

    def stages(self) -> Iterator[Stage]:
        generator: tuple[nn.Module, ...] = (self.encoder, self.decoder, self.second_encoder)
        yield Stage(
            "game",
            {"normal": 1.0},
            [
                Step(generator, self.generator_loss, name="generator"),
                Step((self.discriminator,), self.critic_loss, name="discriminator"),
            ],
            validate=self.held_out_loss,
            keeps=("discriminator",),
            each_epoch=self.restart_where_certain,
            examine=self.examine,
        )

    def rebuilt(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z, x', z'."""
        maps = self.encoder.maps(x)
        z = self.encoder.last(maps[-1]).flatten(1)
        image = self.decoder(z, maps)
        return z, image, self.second_encoder(image)

    def generator_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch, settings = batches["normal"], self.settings
        refuse_one_image(self, len(batch))
        x = symmetric(batch.images)
        z, image, again = self.rebuilt(x)
        logits, features = self.discriminator.with_features(image)
        if settings.adversarial == "features":
            with torch.no_grad():
                wanted = self.discriminator.features(x).float()
            adversarial = (features.float() - wanted).square().mean()
        else:
            adversarial = told_real(logits)
        difference = x - image.float()
        error = difference.abs() if settings.reconstruction == "l1" else difference.square()
        return {
            "adversarial": settings.adversarial_weight * adversarial,
            "reconstruction": settings.reconstruction_weight * mean_over(error, batch.valid).mean(),
            "latent": settings.latent_weight * (z.float() - again.float()).square().mean(),
        }

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        x = symmetric(batches["normal"].images)
        refuse_one_image(self, len(x))
        with torch.no_grad():
            _, image, _ = self.rebuilt(x)
        real, fake = told_real(self.discriminator(x)), told_fake(self.discriminator(image))
        return {"real": real / 2, "fake": fake / 2}

    def restart_where_certain(self, epoch: int, batches: Iterator[Batches]) -> None:
        """A discriminator that is certain of the first batch, on one side, teaches nothing: its weights are
        drawn anew, the same ones in every process."""
        if not self.settings.restart_below:
            return
        x = symmetric(next(iter(batches))["normal"].images)
        with full_precision(x):
            _, image, _ = self.rebuilt(x)
            sides = told_real(self.discriminator(x)), told_fake(self.discriminator(image))
        if float(torch.minimum(*sides)) < self.settings.restart_below:
            with torch.random.fork_rng(devices=[]), torch.device("cpu"):
                torch.manual_seed(epoch)
                self.discriminator.load_state_dict(self.new_discriminator().state_dict())

    def new_discriminator(self) -> DownPyramid:
        return DownPyramid(len(self.size), self.channels, self.size, 1, width=self.settings.network.width)

    def held_out_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """The generator's own terms; the game's are no measure of how well it goes."""
        terms = self.generator_loss(batches, generator)
        return {name: value for name, value in terms.items() if name != "adversarial"}

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        x = held_out_images(held_out)
        with full_precision(x):
            _, image, _ = self.rebuilt(x)
            return {
                **self.signs.of_rebuilt(image, x),
                **self.signs.of_game(self.discriminator, x, image, generator),
            }

    def warnings(self) -> tuple[str, ...]:
        return self.signs.warnings()

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            z, image, again = self.rebuilt(x)
        seen = one_sided(x, image, self.settings.residual)
        residual = (seen - image).abs().mean(dim=1, keepdim=True)
        parts = {
            "latent": Part((z - again).square().mean(dim=1)),
            "residual": Part(mean_over(residual, batch.valid)),
        }
        return Scores(parts, {"residual": residual} if maps else {})

    def mixture(self) -> Mixture:
        return Mixture({self.scored: 1.0}, scaled=False)
