"""Feature autoencoder: structural similarity of features and their reconstruction (Meissen et al., 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from secondread.detectors.blocks.feature_flow import (
    NormalisationSettings,
    NormalisationWithoutNoise,
    NormalisedMaps,
)
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, TRANSPOSED_CONVOLUTION
from secondread.networks.encoder import EncoderSettings
from secondread.networks.structural_similarity import structural_similarity_map
from secondread.settings.base import Width, Window

DROPOUT: dict[int, type[nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}


class FeatureAutoencoderSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    name: Literal["feature-autoencoder"] = "feature-autoencoder"
    image_score: Literal["max", "mean", "top"] = "top"
    features: NormalisationWithoutNoise = Field(
        NormalisationSettings(standardise="none"), description="what each level's map passes first"
    )
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = Field(
        (100, 150, 200, 300), description="channels after each halving"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="share of whole channels, in training")
    window: Window = Field(11, ge=3, description="positions per axis of SSIM's window; odd")
    data_range: PositiveFloat = Field(
        1.0, description="L of SSIM's constants (0.01 L)² and (0.03 L)²; features have no range of their own"
    )
    foreground: float | None = Field(
        None,
        description="the image score is over pixels above it, as prepared; paper: 0, of images whose "
        "background is 0; empty = over the whole image",
    )


class FeatureAutoencoder(Detector):
    """score = mean over the highest `top_share` of the map; map = 1 - SSIM(h, h'), mean over channels.

    h are the maps of several levels of a frozen encoder, normalised where asked for and brought to the first
    level's grid, `[N, C, *grid]`; h' = autoencoder(h) (`MapAutoencoder`). SSIM has an 11×11
    Gaussian window, channel by channel, with constants for a range of `data_range`, and 0 beyond the map's
    edges on both sides. The loss is the map's mean over valid positions of normals. Pixels at or below
    `foreground`, and padding, enter no score; where none is above it, all valid ones do.

    Features are computed once and kept on disk.

    Source: F. Meissen, J. Paetzold, G. Kaissis, D. Rueckert, Unsupervised anomaly localization with
    structural feature-autoencoders, BrainLes 2022 (arXiv 2208.10992), and the authors' code
    (FeliMe/feature-autoencoder).
    """

    Settings = FeatureAutoencoderSettings
    settings: FeatureAutoencoderSettings
    ranks = frozenset({2, 3})
    part = "dissimilarity"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.normalised = NormalisedMaps(
            settings.features, FeatureMaps(settings, self.channels, self.size, pretrained=pretrained)
        )
        channels = sum(self.normalised.channels)
        self.network = MapAutoencoder(len(self.size), channels, settings.widths, settings.dropout)

    @property
    def maps(self) -> FeatureMaps:
        return self.normalised.maps

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "autoencoder",
            {"normal": 1.0},
            [Step((self.network,), self.loss)],
            validate="steps",
            frozen=self.maps,
            prepare=self.normalised.prepare,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        found = self.dissimilarity(self.features(batch))
        return {"dissimilarity": mean_over(found, self.maps.valid(batch.valid, 0)).mean()}

    def features(self, batch: Batch) -> Tensor:
        """h, `[N, C, *grid]` float32."""
        return self.maps.on_grid(self.normalised(batch))

    def dissimilarity(self, h: Tensor) -> Tensor:
        """1 - SSIM(h, h'), `[N, 1, *grid]`."""
        around = [self.settings.window // 2] * (2 * len(self.size))
        h, rebuilt = (functional.pad(x.float(), around) for x in (h, self.network(h)))
        return 1 - structural_similarity_map(
            h, rebuilt, data_range=self.settings.data_range, window=self.settings.window
        )

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        found = self.dissimilarity(self.features(batch))
        anomaly_map = self.maps.place(found, 0, smoothing=self.settings.smoothing, valid=batch.valid)
        value = self.settings.pooled(anomaly_map, self._counted(batch))
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = FeatureAutoencoderSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(4, 8) if rank == 2 else (8,),
            widths=(8, 12) if rank == 2 else (8,),
            window=3,
            smoothing=1.0,
        )
        size = (32, 32) if rank == 2 else (8, 32, 32)
        return Tiny(settings, 1, size, {"autoencoder": StageSettings(steps=3, batch_size=4)})

    def _counted(self, batch: Batch) -> Tensor | None:
        """The pixels of the image score, `[N, 1, *size]`; None = all."""
        if self.settings.foreground is None:
            return batch.valid
        bright = (batch.images > self.settings.foreground).any(dim=1, keepdim=True)
        whole = torch.ones_like(bright) if batch.valid is None else batch.valid
        seen = bright & whole
        some = seen.flatten(1).any(dim=1).view(-1, *[1] * (seen.dim() - 1))
        return torch.where(some, seen, whole)


class MapAutoencoder(nn.Module):
    """A map `[N, channels, *S]` to one of the same shape through `len(widths)` halvings.

    Down: convolutions 5 of stride 2; up: transposed convolutions 6 of stride 2, back to `channels`; each
    without bias, then batch normalisation, leaky ReLU and dropout of whole channels. Last a convolution 1.
    Where a length is odd, what goes up is cut to it, so that maps of any size are taken.
    """

    def __init__(self, rank: int, channels: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()

        def block(layer: nn.Module, width: int) -> nn.Sequential:
            return nn.Sequential(layer, BATCH_NORM[rank](width), nn.LeakyReLU(), DROPOUT[rank](dropout))

        around = [channels, *widths]
        pairs = list(pairwise(around))
        down, up = CONVOLUTION[rank], TRANSPOSED_CONVOLUTION[rank]
        self.down = nn.ModuleList(
            block(down(before, after, 5, stride=2, padding=2, bias=False), after) for before, after in pairs
        )
        self.up = nn.ModuleList(
            block(up(after, before, 6, stride=2, padding=2, bias=False), before)
            for before, after in reversed(pairs)
        )
        self.last = down(channels, channels, 1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        sizes = []
        for layer in self.down:
            sizes.append(h.shape[2:])
            h = layer(h)
        for layer, size in zip(self.up, reversed(sizes), strict=True):
            h = layer(h)[(..., *(slice(length) for length in size))]
        found: Tensor = self.last(h)
        return found
