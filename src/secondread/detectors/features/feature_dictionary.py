"""Feature dictionary: how far each patch is from a few typical normal ones, in features of a frozen network
(Napoletano et al., Sensors 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.encoder_settings import (
    AnyEncoderSettings,
    build_encoder,
    refuse_learning,
)
from secondread.detectors.blocks.valid_positions import highest_over, mean_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.clustering import cluster_centres
from secondread.estimators.nearest import nearest
from secondread.estimators.principal_components import principal_components
from secondread.networks.by_rank import resize
from secondread.networks.encoder import EncoderSettings
from secondread.networks.precision import full_precision
from secondread.settings.base import Count, Draws, Side, Width

CHUNK = 256
"""Patches, or slices of them, that go through the network at once."""


class FeatureDictionarySettings(DetectorSettings):
    name: Literal["feature-dictionary"] = "feature-dictionary"
    encoder: AnyEncoderSettings = EncoderSettings()
    patch: Side = Field(32, description="side of a patch in pixels")
    stride: Side = Field(16, description="pixels from one patch to the next")
    enlarged: int = Field(
        64,
        ge=32,
        le=2_048,
        description="side to which a patch is enlarged for the network; paper: 224, at its cost",
    )
    variance: float | None = Field(
        0.95, gt=0, lt=1, description="share of it that the principal components keep; empty = all"
    )
    words: Width = Field(10, description="patches in the dictionary")
    nearest: Draws = Field(1, description="words to which the distance is averaged")
    image_score: Literal["max", "mean"] = Field("max", description="of the map")
    most: Count = Field(20_000, description="normal patches that it is fitted on, a uniform sample")

    @model_validator(mode="after")
    def _consistent(self) -> FeatureDictionarySettings:
        refuse_learning(self.encoder)
        if self.nearest > self.words:
            raise ValueError(f"nearest is {self.nearest}: there are only {self.words} words")
        if self.words > self.most:
            raise ValueError(f"words is {self.words}: at most {self.most} normal patches are taken")
        if self.stride > self.patch:
            raise ValueError(f"stride is {self.stride}: patches of {self.patch} pixels would leave gaps")
        return self


class FeatureDictionary(Detector):
    """distance of a patch = mean over its m nearest words w of |y - w|; of a pixel, the mean over the patches
    that it lies in; of the image, the map's maximum or mean.

    y are features of a patch: enlarged to `enlarged` pixels a side, through a frozen encoder, its map
    averaged over positions, scaled to an L1 norm of 1, projected on the principal components that keep
    `variance`. The words are the normal patches nearest to the centres of k-means of the normals' y.

    Patches lie `stride` apart, the last ones flush with the image's end. Principal components and words come
    from a uniform sample of at most `most` patches, of those at least half valid, by scikit-learn in float64.
    The sample and the ten k-means++ starts are drawn by a seed that is drawn from torch's global generator
    when the detector is built, and kept as a buffer.

    The paper takes the average pool of ResNet-18 (`encoder: {name: resnet18, layer: layer4}`) on patches
    enlarged to 224 pixels, and marks pixels; it gives no score of an image.

    Source: P. Napoletano, F. Piccoli, R. Schettini, Anomaly detection in nanofibrous materials by CNN-based
    self-similarity, Sensors 18(1):209, 2018.
    """

    Settings = FeatureDictionarySettings
    settings: FeatureDictionarySettings
    part = "distance"
    ranks = frozenset({2, 3})
    gives_map = True
    grows: Mapping[str, tuple[str | None, ...]] = {"matrix": ("k", None), "words": (None, "k")}

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.encoder = build_encoder(settings.encoder, len(self.size), channels, pretrained=pretrained)
        self.patch = tuple(min(settings.patch, length) for length in self.size)
        self.starts = tuple(
            [*range(0, length - side, settings.stride), length - side]
            for length, side in zip(self.size, self.patch, strict=True)
        )
        features = sum(self.encoder.channels)
        self.seed: Tensor
        self.mean: Tensor
        self.matrix: Tensor
        self.words: Tensor
        self.register_buffer("seed", torch.randint(2**31 - 1, ()))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("matrix", torch.empty(0, features))
        self.register_buffer("words", torch.empty(settings.words, 0))
        self.sample, self.keys = torch.empty(0, features), torch.empty(0)
        self.generator: torch.Generator | None = None

    def stages(self) -> Iterator[Stage]:
        yield Stage("dictionary", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        """Each patch draws a key, and those of the lowest keys are kept."""
        if self.generator is None:
            self.generator = torch.Generator().manual_seed(int(self.seed))
        batch, most = batches["normal"], self.settings.most
        patches = self._cut(batch.images).flatten(0, 1)
        keys = torch.rand(len(patches), generator=self.generator)
        if batch.valid is not None:
            share = self._cut(batch.valid.float()).flatten(2).mean(dim=2)
            half = share.amax(dim=1, keepdim=True).clamp_max(0.5)
            keys[(share < half).flatten().cpu()] = torch.inf
        bound = keys.new_tensor(torch.inf) if len(self.keys) < most else self.keys.max()
        chosen = (keys < bound).nonzero()[:, 0]
        if not len(chosen):
            return
        sample = torch.cat((self.sample, self._features(patches[chosen.to(patches.device)]).cpu()))
        keys = torch.cat((self.keys, keys[chosen]))
        kept = keys.argsort(stable=True)[:most]
        self.sample, self.keys = sample[kept], keys[kept]

    def finish(self) -> None:
        """`UserError` where there are fewer normal patches than words, or none that differ."""
        x, words = self.sample.double(), self.settings.words
        self.sample, self.keys, self.generator = self.sample[:0], self.keys[:0], None
        if len(x) < words:
            raise UserError(
                f"feature-dictionary with {words} words needs at least as many normal patches, and found "
                f"{len(x)}; set detector.words lower or add normals"
            )
        mean = x.mean(dim=0)
        directions = principal_components(x - mean, self.settings.variance, "feature-dictionary")
        y = (x - mean) @ directions.T
        typical = nearest(cluster_centres(y, words, int(self.seed)), y, 1)[1][:, 0]
        self.mean.copy_(mean)
        self.matrix = directions.to(self.mean)
        self.words = y[typical].to(self.mean)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        patches = self._cut(batch.images)
        features = self._features(patches.flatten(0, 1))
        with full_precision(features):
            y = (features - self.mean) @ self.matrix.T
            distances, _ = nearest(y, self.words, self.settings.nearest)
            anomaly_map = self._spread(distances.mean(dim=1).view(len(patches), *map(len, self.starts)))
        if self.settings.image_score == "mean":
            value = mean_over(anomaly_map, batch.valid)
        else:
            value = highest_over(anomaly_map, batch.valid, 0.0)
        return self.one_part(value, anomaly_map if maps else None)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        encoder = EncoderSettings(name="resnet18", weights="random")
        if rank == 3:
            encoder = EncoderSettings(name="squeezenet1_1", weights="random", layer="features.4")
        settings = FeatureDictionarySettings(
            encoder=encoder,
            patch=16,
            stride=8,
            enlarged=32,
            words=4,
            nearest=2,
            most=60,
        )
        size = (32, 32) if rank == 2 else (16, 24, 24)
        return Tiny(settings, 1, size, {"dictionary": StageSettings(epochs=1, batch_size=4)})

    def _cut(self, images: Tensor) -> Tensor:
        """The patches of each image, `[N, patches, C, *patch]`."""
        cut, rank = images, len(self.patch)
        for starts, side in zip(self.starts, self.patch, strict=True):
            where = torch.tensor(starts, device=images.device)[:, None]
            # the axis in front of those that are cut already becomes two, and these go to the end
            cut = cut[:, :, where + torch.arange(side, device=images.device)].movedim((2, 3), (-2, -1))
        # `[N, C, patches, side, patches, side, ...]`, of which the patches go to the front
        numbers = [2 + 2 * axis for axis in range(rank)]
        return cut.movedim(numbers, list(range(1, 1 + rank))).flatten(1, rank)

    @torch.no_grad()
    def _features(self, patches: Tensor) -> Tensor:
        """Of patches `[n, C, *patch]`: `[n, features]` float32 of L1 norm 1."""
        side = self.settings.enlarged
        size = (side,) * len(self.size)
        parts = patches.split(max(1, CHUNK // side ** (len(size) - 2)))
        maps = [self.encoder(resize(part, size))[-1].float() for part in parts]
        return torch.nn.functional.normalize(torch.cat(maps).flatten(2).mean(dim=2), p=1.0, dim=1)

    def _spread(self, values: Tensor) -> Tensor:
        """Of each pixel the mean over the patches that it lies in: `[N, *patches per axis]` to
        `[N, 1, *size]`."""
        for axis, (length, side, starts) in enumerate(zip(self.size, self.patch, self.starts, strict=True)):
            after = torch.arange(length, device=values.device) - torch.tensor(
                starts, device=values.device
            ).unsqueeze(1)
            cover = ((after >= 0) & (after < side)).float()
            values = (values.movedim(1 + axis, -1) @ (cover / cover.sum(dim=0))).movedim(-1, 1 + axis)
        return values[:, None]
