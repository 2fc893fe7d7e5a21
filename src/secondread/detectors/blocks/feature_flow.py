"""What a person may set about a flow on feature maps, and about what the features pass before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from secondread.detectors.blocks.feature_maps import FeatureMaps
from secondread.detectors.contract import Batch, Batches
from secondread.estimators.feature_normalisation import FeatureNormalisation
from secondread.flows.elementwise import Additive, Affine, Elementwise, Spline
from secondread.flows.flow import Flow
from secondread.settings.base import Layers, Settings, Width


class CouplingSettings(Settings):
    """What the couplings of a flow do to each number (`flows.elementwise`)."""

    coupling: Literal["affine", "additive", "spline"] = Field(
        "affine", description="additive: a uniformly scaling flow; spline: rational-quadratic"
    )
    clamp: float = Field(2.0, gt=0, description="affine: bound of each log-scale")
    bins: int = Field(8, ge=2, le=64, description="spline: pieces of each function")
    bound: float = Field(
        5.0, gt=0, le=1_000, description="spline: it is the identity beyond this, either way"
    )

    @property
    def elementwise(self) -> Elementwise:
        match self.coupling:
            case "affine":
                return Affine(self.clamp)
            case "additive":
                return Additive()
            case "spline":
                return Spline(self.bins, self.bound)


class FlowSettings(CouplingSettings):
    blocks: Layers = 8
    subnet: Literal["conv", "resnet"] = "conv"
    hidden: Width = Field(256, description="width of a conv subnet")
    positions: bool = Field(False, description="give each subnet a learned embedding of the position")
    embedding: Width = Field(8, description="channels of that embedding")

    def build(self, rank: int, channels: int, size: Sequence[int]) -> Flow:
        """The flow of maps `[N, channels, *size]`."""
        return Flow(
            rank,
            channels,
            blocks=self.blocks,
            subnet=self.subnet,
            hidden=self.hidden,
            elementwise=self.elementwise,
            positions=size if self.positions else None,
            embedding=self.embedding,
        )


class NormalisationSettings(Settings):
    """Between encoder and flow. See `estimators.feature_normalisation`."""

    compress: bool = Field(False, description="sign(h) log(1 + |h|) first")
    standardise: Literal["none", "scale", "channel", "position", "centre"] = Field(
        "scale", description="scale: one constant; features far from the order of one start a flow badly"
    )
    projection: Width | None = Field(None, description="channels that reach the flow; empty = all")
    kind: Literal["pca", "random"] = "pca"
    noise: float = Field(0.0, ge=0, description="Gaussian, added to what the flow sees in training")

    def build(self, channels: int, size: Sequence[int]) -> FeatureNormalisation:
        """Of maps `[N, channels, *size]`. ValueError where the projection has more directions than that."""
        return FeatureNormalisation(
            channels,
            size,
            compress=self.compress,
            standardise=self.standardise,
            projection=self.projection,
            kind=self.kind,
        )

    def noisy(self, h: Tensor, generator: torch.Generator | None) -> Tensor:
        """Normalised features as a flow sees them in training; as they are where there is no generator."""
        if generator is None or not self.noise:
            return h
        return h + self.noise * torch.randn(h.shape, generator=generator, device=generator.device).to(h)


def _without_noise(settings: NormalisationSettings) -> NormalisationSettings:
    if settings.noise:
        raise ValueError("noise is not used here: no flow trains on these features")
    return settings


NormalisationWithoutNoise = Annotated[NormalisationSettings, AfterValidator(_without_noise)]
"""Of detectors that have no flow."""


class NormalisedMaps(nn.Module):
    """The maps of several levels of a frozen encoder as their flows take them, each normalised for itself.

    channels  of each level behind its normalisation
    cohort    whose images it is fitted on
    """

    def __init__(self, settings: NormalisationSettings, maps: FeatureMaps, *, cohort: str = "normal") -> None:
        super().__init__()
        self.settings = settings
        self.cohort = cohort
        self.maps = maps
        self.levels = nn.ModuleList(
            settings.build(width, grid) for width, grid in zip(maps.channels, maps.grids, strict=True)
        )
        self.channels = tuple(level.channels for level in self._levels())

    @property
    def prepare(self) -> Callable[[Iterator[Batches], torch.Generator], None] | None:
        """`fit` on the cohort's images of a stage's batches, or None where there is nothing to fit."""
        return self.fit if any(level.needs_fit for level in self._levels()) else None

    def fit(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Every level's normalisation from the cohort's images, in one pass."""
        for cohorts in batches:
            batch = cohorts[self.cohort]
            for level, (own, h) in enumerate(zip(self._levels(), self.maps.of(batch), strict=True)):
                own.collect(h, self.maps.valid(batch.valid, level))
        for own in self._levels():
            own.finish(generator)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> list[Tensor]:
        """Each level's, `[N, K, *grid]` float32; with a generator, with the noise of training."""
        return [
            self.settings.noisy(own(h), generator)
            for own, h in zip(self._levels(), self.maps.of(batch), strict=True)
        ]

    def normalised(self, h: Tensor, level: int) -> Tensor:
        """One level's map, `[N, K, *grid]` float32."""
        return self._levels()[level](h)

    def _levels(self) -> list[FeatureNormalisation]:
        return [level for level in self.levels if isinstance(level, FeatureNormalisation)]
