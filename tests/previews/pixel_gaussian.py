"""A real, tiny generative detector: each pixel an independent Gaussian, fitted to normals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.detectors.contract import Batch, Batches, Detector, Mixture, Part, Scores, ScoringNoise, Stage
from secondread.detectors.detector_settings import DetectorSettings
from secondread.fitting.fit import fit
from secondread.recipes.recipe import Recipe

NAME, PLACE = "pixel-gaussian", "pixel_gaussian"
"""For the table of detectors."""


class PixelGaussianSettings(DetectorSettings):
    name: Literal["pixel-gaussian"] = "pixel-gaussian"
    overflow: bool = False
    copies: bool = False


class PixelGaussian(Detector):
    """`overflow` draws every other image as infinite; `copies` repeats the first training image."""

    Settings = PixelGaussianSettings
    settings: PixelGaussianSettings
    ranks = frozenset({2, 3})

    def __init__(
        self,
        settings: PixelGaussianSettings,
        channels: int,
        size: tuple[int, ...],
        *,
        pretrained: bool = True,
    ):
        super().__init__(settings, channels, size, pretrained=pretrained)
        shape = (channels, *self.size)
        for name in ("mean", "squares", "first"):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("seen", torch.zeros(()))

    def stages(self) -> Iterator[Stage]:
        yield Stage("moments", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        images = batches["normal"].images.float()
        if not self.seen:
            self.first.copy_(images[0])
        self.seen += len(images)
        self.mean += images.sum(0)
        self.squares += images.square().sum(0)

    def finish(self) -> None:
        self.mean /= self.seen
        self.squares /= self.seen

    @property
    def deviation(self) -> Tensor:
        return (self.squares - self.mean.square()).clamp_min(1e-6).sqrt()

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        latent = (batch.images - self.mean) / self.deviation
        return Scores({"energy": Part(latent.square().flatten(1).mean(1))})

    def mixture(self) -> Mixture:
        return Mixture({"energy": 1.0}, scaled=False)

    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        noise = torch.randn((n, *self.mean.shape), generator=generator).to(self.mean)
        images = self.mean + temperature * self.deviation * noise
        if self.settings.copies:
            images = self.first.expand(n, *self.first.shape).clone()
        if self.settings.overflow:
            images[::2] = torch.inf
        return images

    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        share = torch.linspace(0, 1, steps, device=first.device).view(-1, *(1,) * first.ndim)
        return (1 - share) * first + share * second


def fit_gaussian(
    manifest: Manifest,
    folder: Path,
    size: tuple[int, ...],
    *,
    anomaly_rate: float | None = None,
    **settings: object,
) -> Bundle:
    """Fitted in a moment and saved in `folder`."""
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": list(size)},
            "detector": {"name": NAME, **settings},
            "cohorts": {"validation": 0.2, "calibration": 0.3, "anomaly_rate": anomaly_rate},
        }
    )
    return fit(recipe, manifest, folder / "bundle", cache=folder / "cache", workers=0, progress=False)
