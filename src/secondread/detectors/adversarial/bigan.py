"""BiGAN and ALI: generator and encoder against one critic of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.adversarial.collapse import CollapseSigns, held_out_images
from secondread.detectors.blocks.adversarial.latent_images import LatentImages
from secondread.detectors.blocks.reconstruction import Residual, one_sided, refuse_one_image, symmetric
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
from secondread.networks.adversarial.joint import (
    JointCritic,
    JointEncoder,
    JointGenerator,
    refuse_sizes_that_do_not_fit,
)
from secondread.networks.adversarial.losses import told_fake, told_real
from secondread.networks.precision import full_precision
from secondread.settings.base import Side, Width

FOR_64: tuple[tuple[int, int, int], ...] = (
    (2, 1, 64),
    (7, 2, 128),
    (5, 2, 256),
    (7, 2, 256),
    (4, 1, 512),
)
"""ALI's layers for 64x64."""


class BiGANSettings(DetectorSettings):
    """The defaults are ALI's for 64x64."""

    name: Literal["bigan"] = "bigan"
    layers: Annotated[tuple[tuple[Side, Side, Width], ...], Field(min_length=1, max_length=16)] = Field(
        FOR_64,
        description="kernel, stride and channels of each convolution, down to one position",
    )
    latent: Width = 256
    stochastic: bool = Field(
        True, description="an encoder with mean and deviation, as ALI's; BiGAN's has none"
    )
    dropout: float = Field(0.2, ge=0, lt=1)
    residual_share: float = Field(0.9, ge=0, le=1, description="of the residual in `mixed`")
    residual: Residual = "both"
    scored: Literal["residual", "mixed"] = Field("mixed", description="which part is the score")


class BiGAN(LatentImages, Detector):
    """A generator G, an encoder E and a critic D of pairs of image and latent.

        critic     -log D(x, E(x)) - log(1 - D(G(z), z))
        G and E    -log(1 - D(x, E(x))) - log D(G(z), z)

    z ~ N(0, I); E(x) = m(x) + s(x) e with e ~ N(0, I) where it is `stochastic` (ALI), m(x) otherwise (BiGAN).
    No term asks for a reconstruction: the pairs meet where G and E are each other's inverse, and until then
    reconstructions keep what an image shows better than where. At scoring E(x) = m(x).

    Stage `game`. Parts: `residual`, R = sum over pixels of |x - x'| with x' = G(m(x)); `features`, F = sum of
    |f(x, m(x)) - f(x', m(x))| in D's last hidden layer; `mixed`, R and F in the shares `residual_share` and
    the rest. Map `residual`, |x - x'|. Padding is left out of R. The parts are sums, as published.

    Images `[N, C, *size]` in [0, 1] become x = 2 image - 1, clipped to [-1, 1]; ValueError for a size that
    the layers do not bring to one position.

    Sources: V. Dumoulin et al., Adversarially learned inference, ICLR 2017; J. Donahue, P. Krähenbühl,
    T. Darrell, Adversarial feature learning, ICLR 2017; the score: H. Zenati et al., Efficient GAN-based
    anomaly detection, 2018.
    """

    Settings = BiGANSettings
    settings: BiGANSettings
    ranks = frozenset({2, 3})
    part = "residual"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        refuse_sizes_that_do_not_fit(self.size, settings.layers)
        self.latent_shape = (settings.latent,)
        outputs = settings.latent * (2 if settings.stochastic else 1)
        self.encoder = JointEncoder(rank, self.channels, settings.layers, outputs)
        self.generator = JointGenerator(rank, self.channels, settings.layers, settings.latent)
        self.critic = JointCritic(
            rank, self.channels, settings.layers, settings.latent, dropout=settings.dropout
        )
        self.signs = CollapseSigns(wasserstein=False)

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "game",
            {"normal": 1.0},
            [
                Step((self.critic,), self.critic_loss, name="critic"),
                Step((self.generator, self.encoder), self.generator_loss, name="generator"),
            ],
            validate=None,
            examine=self.examine,
        )

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            real, fake = self.pairs(batches["normal"], generator)
        return {"real": told_real(self.critic(*real)), "fake": told_fake(self.critic(*fake))}

    def generator_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        real, fake = self.pairs(batches["normal"], generator)
        return {"encoder": told_fake(self.critic(*real)), "generator": told_real(self.critic(*fake))}

    def pairs(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """(x, E(x)) and (G(z), z)."""
        x = symmetric(batch.images)
        refuse_one_image(self, len(x))
        z = self.drawn(len(x), generator)
        code = self.encoder(x)
        if self.settings.stochastic:
            mean, log_deviation = code.chunk(2, dim=1)
            code = mean + log_deviation.exp() * self.drawn(len(x), generator)
        return (x, code), (self.generator(z), z)

    def latents(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code.chunk(2, dim=1)[0] if self.settings.stochastic else code

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        x = held_out_images(held_out)
        with full_precision(x):
            z, code = self.drawn(len(x), generator), self.latents(x)
            fakes = self.generator(z)
            joined, (side, length) = torch.cat((x.flatten(1), code), dim=1), (x.shape, x[0].numel())

            def critic(pairs: Tensor) -> Tensor:
                values: Tensor = self.critic(
                    pairs[:, :length].reshape(len(pairs), *side[1:]), pairs[:, length:]
                )
                return values

            generated = torch.cat((fakes.flatten(1), z), dim=1)
            return {
                **self.signs.of_generated(fakes, x),
                **self.signs.of_rebuilt(self.generator(code), x),
                **self.signs.of_game(critic, joined, generated, generator),
            }

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            z = self.latents(x)
            rebuilt = self.generator(z)
            difference = (one_sided(x, rebuilt, self.settings.residual) - rebuilt).abs()
            counted = difference if batch.valid is None else difference * batch.valid
            residual = counted.flatten(1).sum(dim=1)
            features = (self.critic.features(x, z) - self.critic.features(rebuilt, z)).abs().sum(dim=1)
        share = self.settings.residual_share
        parts = {
            "residual": residual,
            "features": features,
            "mixed": share * residual + (1 - share) * features,
        }
        shown = {"residual": difference.mean(dim=1, keepdim=True)} if maps else {}
        return Scores({name: Part(value) for name, value in parts.items()}, shown)

    def mixture(self) -> Mixture:
        return Mixture({self.settings.scored: 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        layers = ((4, 2, 2), (3, 2, 4), (3, 1, 8)) if rank == 2 else ((4, 2, 2), (3, 1, 4))
        settings = BiGANSettings(layers=layers, latent=4)
        stage = StageSettings(steps=3, batch_size=4)
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), {"game": stage})
