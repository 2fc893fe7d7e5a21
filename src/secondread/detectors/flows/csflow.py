"""CS-Flow: one flow across features of the image at several scales (Rudolph et al., WACV 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.feature_flow import NormalisationSettings, NormalisedMaps
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.flows.cross_scale import CrossScaleFlow
from secondread.networks.by_rank import area_resize
from secondread.networks.cells import Cells, cells_of
from secondread.networks.encoder import EncoderSettings, map_sizes
from secondread.settings.base import Width, Window
from secondread.wording.sizes import times


class CSFlowSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    """The defaults are the paper's, of any encoder."""

    name: Literal["csflow"] = "csflow"
    scales: int = Field(3, ge=1, le=6, description="of the image, each half the one before")
    features: NormalisationSettings = Field(
        NormalisationSettings(standardise="none"),
        description="of each scale, fitted on the normals; the paper has none",
    )
    kernels: tuple[Window, ...] = Field(
        (3, 3, 3, 5), min_length=1, max_length=64, description="of each block's convolutions; odd"
    )
    hidden: Width = Field(1024, description="channels between the convolutions of a subnet")
    clamp: float = Field(3.0, gt=0, description="bound of each log-scale")
    form: Literal["square", "density"] = Field(
        "square", description="of what scores by position: half the mean of z^2, or -log p per channel"
    )
    map_scales: Literal["finest", "all"] = Field("finest", description="all: the mean over scales")
    pool: Literal["scales", "map"] = Field(
        "scales",
        description="the image score: the mean over all positions of all scales, or image_score of the map",
    )

    @property
    def default_strides(self) -> tuple[int, ...]:
        return (32,)


class CSFlow(Detector):
    """A flow f takes the maps h_s of the image at all scales s at once to z_s, standard normal for normals.

        h_s = encoder(the image, each side divided by 2^s)
        z = f(n(h)),   log p(n) = sum over s of log N(z_s; 0, I) + log |det dz/dn|
        loss = -log p(n) / D,   score = mean over all of z of z^2 / 2

    f is `flows.cross_scale`, whose couplings read neighbouring scales; n is the feature normalisation (the
    identity in the paper) and D counts channels times valid positions of all scales. `form: density` adds the
    log-determinant by position to the score. Map: the finest scale's mean of z^2 / 2 over channels, on the
    image's grid; or the mean of all scales.

    Part and map: `likelihood`. Images are `[N, C, *size]`; padding is neither in the loss nor in the score.
    ValueError where a side is no multiple of 2^(scales - 1), or where more than one layer is named.

    Source: M. Rudolph, T. Wehrbein, B. Rosenhahn, B. Wandt, Fully convolutional cross-scale-flows for
    image-based defect detection, WACV 2022.
    """

    Settings = CSFlowSettings
    settings: CSFlowSettings
    part = "likelihood"
    ranks = frozenset({2, 3})
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        maps = ScaledMaps(settings, self.channels, self.size, scales=settings.scales, pretrained=pretrained)
        self.normalised = NormalisedMaps(settings.features, maps)
        self.flow = CrossScaleFlow(
            len(self.size),
            self.normalised.channels[0],
            scales=settings.scales,
            hidden=settings.hidden,
            kernels=settings.kernels,
            clamp=settings.clamp,
        )

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "flow",
            {"normal": 1.0},
            [Step((self.flow,), self.loss, name="flow")],
            validate="steps",
            frozen=self.normalised.maps,
            prepare=self.normalised.prepare,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """-log p / D, nats."""
        batch = batches["normal"]
        z, log_determinants = self.flow.transform(
            self.normalised(batch, generator if self.training else None)
        )
        return {"nats": self._mean(batch, self._density(z, log_determinants)).mean()}

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        z, log_determinants = self.flow.transform(self.normalised(batch))
        if self.settings.form == "density":
            values = self._density(z, log_determinants)
        else:
            values = [0.5 * one.square().mean(dim=1, keepdim=True) for one in z]
        by_scales = self.settings.pool == "scales"
        if by_scales and not maps:
            return self.one_part(self._mean(batch, values))
        shown = values if self.settings.map_scales == "all" else values[:1]
        anomaly_map = self.normalised.maps.mean(
            enumerate(shown), smoothing=self.settings.smoothing, valid=batch.valid
        )
        value = self._mean(batch, values) if by_scales else self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = CSFlowSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(4,),
            scales=2,
            features=NormalisationSettings(standardise="channel", projection=6, noise=0.1),
            kernels=(3, 5),
            hidden=8,
            map_scales="all",
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"flow": StageSettings(steps=4, batch_size=4)})

    def _density(self, z: Sequence[Tensor], log_determinants: Sequence[Tensor]) -> list[Tensor]:
        """-log p by position of each scale, per channel, `[N, 1, *grid]`."""
        return [
            -(self.flow.latent.log_density_map(one) + log) / one.shape[1]
            for one, log in zip(z, log_determinants, strict=True)
        ]

    def _mean(self, batch: Batch, values: Sequence[Tensor]) -> Tensor:
        """The mean over the valid positions of all scales, `[N]`."""
        total, count = (
            torch.zeros((), device=batch.images.device),
            torch.zeros((), device=batch.images.device),
        )
        for scale, one in enumerate(values):
            valid = self.normalised.maps.valid(batch.valid, scale)
            weight = torch.ones_like(one) if valid is None else valid.to(one)
            total = total + (one * weight).flatten(1).sum(dim=1)
            count = count + weight.flatten(1).sum(dim=1)
        return total / count


class ScaledMaps(FeatureMaps):
    """The maps that a frozen encoder gives of the image, of its half, its quarter and so on: one of each."""

    def __init__(
        self,
        settings: FeatureMapsSettings,
        channels: int,
        size: Sequence[int],
        *,
        scales: int,
        pretrained: bool,
    ) -> None:
        super().__init__(settings, channels, size, pretrained=pretrained)
        if len(self.channels) != 1:
            raise ValueError(f"csflow takes one layer of the encoder, not {len(self.channels)}; set layers")
        if any(side % 2 ** (scales - 1) for side in self.size):
            raise ValueError(
                f"csflow halves images {scales - 1} times, so that sides should be multiples of "
                f"{2 ** (scales - 1)}, not {times(self.size)}"
            )
        self.sizes = [tuple(side // 2**scale for side in self.size) for scale in range(scales)]
        self.channels = self.channels * scales
        self.grids = tuple(map_sizes(self.encoder, channels, one)[0] for one in self.sizes)
        self.cells = tuple(
            _of_the_whole(cells_of(self.encoder, channels, one)[0], 2**scale)
            for scale, one in enumerate(self.sizes)
        )

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.averaged(self.encoder(area_resize(images, one))[0]) for one in self.sizes)


def _of_the_whole(cells: Cells, times_smaller: int) -> Cells:
    """Cells of an image made that many times smaller, in pixels of the image as it was."""
    return Cells(
        tuple((offset + 0.5) * times_smaller - 0.5 for offset in cells.offset),
        tuple(stride * times_smaller for stride in cells.stride),
    )
