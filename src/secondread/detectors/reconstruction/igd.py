"""IGD: an autoencoder whose latents lie in one Gaussian, smoothed by a critic of interpolations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.reconstruction import refuse_one_image
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
from secondread.estimators.centre import centre_of
from secondread.networks.adversarial.interpolation import (
    DescriptorDecoder,
    DescriptorEncoder,
    InterpolationCritic,
)
from secondread.networks.cells import Cells, place
from secondread.networks.precision import full_precision
from secondread.networks.structural_similarity import multiscale_similarity, structural_similarity_map
from secondread.settings.base import Count, Layers, Settings, Width, Window


class DescriptorSettings(Settings):
    """See `networks.adversarial.interpolation`."""

    width: Width = 64
    blocks: Layers = Field(6, description="halvings of the image's grid; 6 take 256 pixels to 4")
    hidden: Width = 512
    latent: Width = 128


class IGDSettings(DetectorSettings):
    name: Literal["igd"] = "igd"
    network: DescriptorSettings = DescriptorSettings()
    scales: Annotated[tuple[float, ...], Field(min_length=1, max_length=8)] = Field(
        (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), description="weights of MS-SSIM's scales"
    )
    window: Window = Field(11, ge=3, description="of MS-SSIM; paper: 11 at 256 pixels, 3 at 32")
    similarity: float = Field(0.85, ge=0, le=1, description="weight of 1 - MS-SSIM; the rest is L1's")
    interpolation: float = Field(0.1, ge=0, description="weight of what the critic says of interpolations")
    nearness: float = Field(
        0.2,
        ge=0,
        le=1,
        description="how far from the reconstruction to the image lies what the critic calls 0",
    )
    every: Count = Field(10, description="epochs from one estimate of centre and scale to the next")
    gaussian_weight: float = Field(0.5, ge=0, le=1, description="of the score; the rest is reconstruction's")
    signed: bool = Field(
        False,
        description="the score's L1 is the mean of x - x', in which errors of both signs cancel, as the "
        "authors' code has it for patches",
    )


class IGD(Detector):
    """score = w g + (1 - w) r, with w `gaussian_weight`, z = encoder(x), x' = decoder(z) and

        g = 1 - exp(-|z - c|^2 / s)
        r = 0.85 (1 - MS-SSIM(x, x')) + 0.15 mean |x - x'|

    The encoder and decoder minimise, for z mixed with another image's z* and a ~ U(0, 0.5),

        mean of r + g + 0.1 D(decoder(a z + (1 - a) z*))^2

    and the critic D mean (D(decoder(a z + (1 - a) z*)) - a)^2 + D(x' + 0.2 (x - x'))^2. The centre c is the
    mean of the normals' z, numbers within 0.1 of 0 moved there; the scale s the mean over batches of
    max(1, mean |z - c|^2). Both are estimated before the first step and after every 10th epoch.

    Images are taken in [0, 1]; z* is the batch in reverse order. Parts: `reconstruction` (r) and `gaussian`
    (g). Map `reconstruction`: r at each pixel, with SSIM on the image's own scale. The score is that of the
    last epoch; the authors' code keeps the best epoch on the test set.

    Source: Y. Chen, Y. Tian, G. Pang, G. Carneiro, Deep one-class classification via interpolated Gaussian
    descriptor, AAAI 2022, and the authors' code (tianyu0207/IGD), whose encoder is distilled from another
    network that is not public: here it learns with the rest.
    """

    Settings = IGDSettings
    settings: IGDSettings
    ranks = frozenset({2, 3})
    centre: Tensor
    scale: Tensor

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings.network, len(self.size)
        sizes = {"width": settings.width, "blocks": settings.blocks}
        self.encoder = DescriptorEncoder(
            rank, self.channels, self.size, **sizes, hidden=settings.hidden, latent=settings.latent
        )
        self.decoder = DescriptorDecoder(rank, self.channels, self.size, **sizes, latent=settings.latent)
        self.critic = InterpolationCritic(rank, self.channels, self.size, **sizes)
        self.register_buffer("centre", torch.zeros(settings.latent))
        self.register_buffer("scale", torch.ones(()))
        last = 2 ** (len(self.settings.scales) - 1)
        if min(self.size) < last:
            raise ValueError(f"scales: {len(self.settings.scales)} of them need at least {last} pixels")

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "descriptor",
            {"normal": 1.0},
            [
                Step((self.encoder, self.decoder), self.loss, name="descriptor"),
                Step((self.critic,), self.critic_loss, name="critic"),
            ],
            validate=self.held_out_loss,
            keeps=("centre", "scale"),
            prepare=lambda batches, generator: self.estimate(batches),
            each_epoch=self.each_epoch,
        )

    def each_epoch(self, number: int, batches: Iterator[Batches]) -> None:
        if (number + 1) % self.settings.every == 0:
            self.estimate(batches)

    def estimate(self, batches: Iterator[Batches]) -> None:
        """Centre and scale from one pass over the normals."""
        found = [self.encoder(batch["normal"].images.float()) for batch in batches]
        self.centre.copy_(centre_of(torch.cat(found)))
        spread = [(z - self.centre).square().sum(dim=1).mean().clamp_min(1) for z in found]
        self.scale.copy_(torch.stack(spread).mean())

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        x = batch.images.float()
        z = self.encoder(x)
        mixed, _ = self.mixed(z, generator)
        said = self.critic(self.decoder(mixed))
        return {
            "reconstruction": self.dissimilarity(x, self.decoder(z), batch.valid).mean(),
            "gaussian": self.outside(z).mean(),
            "interpolation": self.settings.interpolation * said.square().mean(),
        }

    def critic_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        x = batches["normal"].images.float()
        with torch.no_grad():
            z = self.encoder(x)
            mixed, share = self.mixed(z, generator)
            between, rebuilt = self.decoder(mixed), self.decoder(z)
        near = rebuilt + self.settings.nearness * (x - rebuilt)
        return {
            "interpolated": (self.critic(between) - share).square().mean(),
            "rebuilt": self.critic(near).square().mean(),
        }

    def held_out_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """Of the step of encoder and decoder what does not depend on the critic."""
        batch = batches["normal"]
        x = batch.images.float()
        z = self.encoder(x)
        return {
            "reconstruction": self.dissimilarity(x, self.decoder(z), batch.valid).mean(),
            "gaussian": self.outside(z).mean(),
        }

    def mixed(self, z: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """a z + (1 - a) z*, and a, `[N]`."""
        share = 0.5 * torch.rand(len(z), generator=generator, device=generator.device).to(z)
        return share[:, None] * z + (1 - share[:, None]) * z.flip(0), share

    def outside(self, z: Tensor) -> Tensor:
        """g, `[N]`."""
        return 1 - (-(z - self.centre).square().sum(dim=1) / self.scale).exp()

    def dissimilarity(
        self, x: Tensor, rebuilt: Tensor, valid: Tensor | None, *, signed: bool = False
    ) -> Tensor:
        """r, `[N]`."""
        settings = self.settings
        similarity = multiscale_similarity(x, rebuilt, settings.scales, valid, window=settings.window)
        difference = x - rebuilt if signed else (x - rebuilt).abs()
        weight = settings.similarity
        return weight * (1 - similarity) + (1 - weight) * mean_over(difference, valid)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        settings, x = self.settings, batch.images.float()
        with full_precision(x):
            z = self.encoder(x)
            rebuilt = self.decoder(z)
            parts = {
                "reconstruction": self.dissimilarity(x, rebuilt, batch.valid, signed=settings.signed),
                "gaussian": self.outside(z),
            }
        found = {"reconstruction": self.pixel_error(x, rebuilt)} if maps else {}
        return Scores({name: Part(values) for name, values in parts.items()}, found)

    def pixel_error(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """r at each pixel, `[N, 1, *size]`."""
        similarity = structural_similarity_map(x, rebuilt, window=self.settings.window)
        windows = [length - kept + 1 for length, kept in zip(self.size, similarity.shape[2:], strict=True)]
        one = [1] * len(self.size)
        cells = Cells.pixels(len(self.size)).seen_through(windows, one, [0] * len(self.size))
        difference = (x - rebuilt).abs().mean(dim=1, keepdim=True)
        weight = self.settings.similarity
        return weight * (1 - place(similarity, cells, self.size)) + (1 - weight) * difference

    def mixture(self) -> Mixture:
        weight = self.settings.gaussian_weight
        return Mixture({"reconstruction": 1 - weight, "gaussian": weight}, scaled=False)

    def map_mixture(self) -> Mixture:
        return Mixture({"reconstruction": 1.0}, scaled=False)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = IGDSettings(
            network=DescriptorSettings(width=2, blocks=2, hidden=6, latent=4),
            scales=(0.5, 0.5),
            window=3,
            every=1,
        )
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(settings, 1, size, {"descriptor": StageSettings(steps=4, batch_size=4)})
