"""Perceptual autoencoder: image and reconstruction are compared through a frozen encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.feature_flow import (
    NormalisationSettings,
    NormalisationWithoutNoise,
    NormalisedMaps,
)
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.reconstruction import (
    NetworkSettings,
    ReconstructionDetector,
    ReconstructionSettings,
    one_sided,
    refuse_one_image,
    symmetric,
)
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.networks.encoder import EncoderSettings
from secondread.networks.precision import full_precision

LEAST = 1e-6
"""Of the size of an image's features, by which their distance is divided."""


class PerceptualAESettings(FeatureMapsSettings, ReconstructionSettings):
    name: Literal["perceptual-ae"] = "perceptual-ae"
    network: NetworkSettings = NetworkSettings(hidden=1024)
    features: NormalisationWithoutNoise = Field(
        NormalisationSettings(standardise="channel"),
        description="what each level's map passes before it is compared",
    )


class PerceptualAE(ReconstructionDetector):
    """error = mean over levels of |f(x) - f(x')| / mean |f(x)|, with x' = decoder(encoder(x)).

    f are the maps of a frozen image encoder, `[N, C, *grid]` at each level, standardised channel by channel
    with the means and deviations of normals (`features`); |.| is averaged over channels, and mean |f(x)| is
    over all channels and places of the image. The loss is the error's mean over cells, and so is the part;
    the map has each level's cells at their places on the image's grid. x' is not clipped.

    Features of the images are computed once and kept on disk; those of reconstructions, and the gradient
    through the encoder, are computed in every step.

    See `ReconstructionDetector` for network, stage, part and map.

    Sources: N. Shvetsova, B. Bakker, I. Fedulova, H. Schulz, D. V. Dylov, Anomaly detection in medical
    imaging with deep perceptual autoencoders, IEEE Access 2021; the network as in Y. Cai, W. Zhang, H. Chen,
    K.-T. Cheng, MedIAnomaly, Medical Image Analysis 2025.
    """

    Settings = PerceptualAESettings
    settings: PerceptualAESettings

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        maps = FeatureMaps(self.settings, self.channels, self.size, pretrained=pretrained)
        self.normalised = NormalisedMaps(self.settings.features, maps)

    @property
    def maps(self) -> FeatureMaps:
        return self.normalised.maps

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "reconstruction",
            {"normal": 1.0},
            [Step((self.network,), self.loss, name="reconstruction")],
            validate="steps",
            frozen=self.seen,
            prepare=self.normalised.prepare,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        refuse_one_image(self, len(batch))
        rebuilt = self.mean(self.network(symmetric(batch.images)))
        levels = self.distances(batch.features or self.seen(batch.images), rebuilt)
        return {"reconstruction": self.over_cells(levels, batch.valid).mean()}

    def seen(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of images, clipped to [0, 1]."""
        maps: tuple[Tensor, ...] = self.maps(images.float().clamp(0, 1))
        return maps

    def distances(self, seen: Sequence[Tensor], rebuilt: Tensor) -> list[Tensor]:
        """The error at each level's cells, `[N, 1, *grid]`, between the maps of images and a reconstruction
        in [-1, 1], through which the gradient goes."""
        maps = self.maps
        found = []
        for level, own in enumerate(maps.encoder((rebuilt + 1) / 2)):
            h = self.normalised.normalised(seen[level], level)
            other = self.normalised.normalised(maps.averaged(own), level)
            size = h.abs().flatten(1).mean(dim=1).clamp_min(LEAST).view(-1, *[1] * (h.dim() - 1))
            found.append((h - other).abs().mean(dim=1, keepdim=True) / size)
        return found

    def over_cells(self, levels: list[Tensor], valid: Tensor | None) -> Tensor:
        """Each image's mean over valid cells and levels, `[N]`."""
        each = [mean_over(found, self.maps.valid(valid, level)) for level, found in enumerate(levels)]
        return torch.stack(each).mean(dim=0)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            rebuilt = self.mean(self.network(x))
            x = one_sided(x, rebuilt, self.settings.residual)
            levels = self.distances(self.seen((x + 1) / 2), rebuilt)
        value = self.over_cells(levels, batch.valid)
        return self.one_part(value, self.maps.mean(enumerate(levels), valid=batch.valid) if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = PerceptualAESettings(
            network=NetworkSettings(width=2, hidden=8, latent=4),
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(4,),
        )
        size = (32, 32) if rank == 2 else (16, 16, 16)
        return Tiny(settings, 1, size, {"reconstruction": StageSettings(steps=3, batch_size=4)})
