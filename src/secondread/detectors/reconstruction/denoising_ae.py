"""A denoising autoencoder: coarse noise is taken off, and what else is taken off is abnormal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional

from secondread.detectors.blocks.neighbourhood import eroded, neighbourhood_median
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.reconstruction import Residual, one_sided
from secondread.detectors.blocks.valid_positions import foreground_of, or_everywhere
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.by_rank import INTERPOLATION
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.networks.precision import full_precision
from secondread.networks.unet.unet import UNet
from secondread.settings.base import Layers, Settings, Side, Width, Window


class CoarseNoiseSettings(Settings):
    deviation: PositiveFloat = Field(
        0.2, description="standard deviation in units of the prepared image; paper: of images in [0, 1]"
    )
    cells: Side = Field(16, description="numbers drawn along each axis; paper: 16 for 128 pixels")


class DenoisingAESettings(PooledMapSettings, DetectorSettings):
    name: Literal["denoising-ae"] = "denoising-ae"
    width: Width = Field(64, description="channels of the U-Net's first level; each further one has twice")
    depth: Layers = Field(4, le=8, description="levels of the U-Net")
    noise: CoarseNoiseSettings = CoarseNoiseSettings()
    foreground: float | None = Field(
        None,
        description="only places whose sum over channels is above it are foreground; paper: 0.01; empty = "
        "all that is valid",
    )
    residual: Residual = "both"
    erosion: Window = Field(5, description="side of the square by which the foreground is eroded; 1 = not")
    median: Window = Field(5, description="side of the map's median filter; 1 = none")
    image_score: Literal["max", "mean", "top"] = "mean"


class DenoisingAE(Detector):
    """map = median over 5×5 of m |x - x'|, mean over channels; x' = network(x), m the eroded foreground.

    In training coarse noise is put on the foreground f and the network has to take it off:

        e ~ N(0, deviation^2) on `cells` places along each axis, brought to the image's size by linear
            interpolation, and rolled by a random offset that is one for the batch
        loss = mean over all places and channels of f (network(x + f e) - x)^2

    Images `[N, C, *size]` are taken as prepared, in [0, 1] as in the paper, where each channel is divided by
    the 99th percentile of its foreground; `deviation` is in the same units. The foreground is what is valid,
    and with `foreground` only where the channels' sum is above it. Eroded is what has foreground on more than
    95 % of the `erosion`×`erosion` places around it, places beyond the edge apart. No noise is put on at
    scoring. With `residual: positive` only what x has above x' counts.

    Part and map: `residual`. The image score is the map's mean over the foreground (or its maximum, or the
    mean of its top share); the paper has none. `ValueError` for sizes that the U-Net does not take.

    Source: A. Kascenas, N. Pugeault, A. O'Neil, Denoising autoencoders for unsupervised anomaly detection in
    brain MRI, MIDL 2022, and the authors' code (AntanasKascenas/DenoisingAE).
    """

    Settings = DenoisingAESettings
    settings: DenoisingAESettings
    ranks = frozenset({2, 3})
    part = "residual"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.network = UNet(
            len(self.size), channels, channels, self.size, width=settings.width, depth=settings.depth
        )
        if min(self.size) <= settings.median // 2:
            raise ValueError(f"median {settings.median} needs images larger than {self.size}; lower it")

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "denoising",
            {"normal": 1.0},
            [Step((self.network,), self.loss, name="denoising")],
            validate="steps",
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        x, foreground = batch.images.float(), self.foreground(batch).float()
        rebuilt = self.network(x + foreground * self.noise(x, generator)).float()
        return {"reconstruction": ((rebuilt - x).square() * foreground).mean()}

    def noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """e for images `[N, C, *size]`, in their shape."""
        settings, size = self.settings.noise, x.shape[2:]
        cells = [min(settings.cells, length) for length in size]
        coarse = torch.randn(*x.shape[:2], *cells, generator=generator, device=generator.device)
        fine = functional.interpolate(coarse, size=size, mode=INTERPOLATION[len(size)], align_corners=True)
        offsets = [
            int(torch.randint(length, (), generator=generator, device=generator.device)) for length in size
        ]
        return settings.deviation * fine.roll(offsets, list(range(2, x.dim()))).to(x.device)

    def foreground(self, batch: Batch) -> Tensor:
        """bool `[N, 1, *size]`."""
        found = foreground_of(batch.images, batch.valid, self.settings.foreground)
        return torch.ones_like(batch.images[:, :1], dtype=torch.bool) if found is None else found

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        settings, x = self.settings, batch.images.float()
        with full_precision(x):
            rebuilt = self.network(x)
        residual = (one_sided(x, rebuilt, settings.residual) - rebuilt).abs()
        foreground = self.foreground(batch)
        shown = residual.mean(dim=1, keepdim=True) * eroded(foreground, settings.erosion)
        shown = gaussian_blur(neighbourhood_median(shown, settings.median), settings.smoothing)
        value = settings.pooled(shown, or_everywhere(foreground))
        return self.one_part(value, shown if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = DenoisingAESettings(
            width=4, depth=2, noise=CoarseNoiseSettings(cells=4), foreground=0.01, erosion=3, median=3
        )
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(settings, 1, size, {"denoising": StageSettings(steps=6, batch_size=4)})
