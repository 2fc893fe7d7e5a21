"""Pixel 1-NN: how far an image is from the nearest normal, thumbnail against thumbnail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.representation import THUMBNAIL
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.nearest import nearest
from secondread.estimators.reservoir import add_to_reservoir
from secondread.networks.by_rank import area_resize
from secondread.settings.base import Count, Side


class PixelNearestNeighbourSettings(DetectorSettings):
    name: Literal["pixel-1nn"] = "pixel-1nn"
    side: Side | None = Field(None, description="thumbnail's side; empty = 32 in 2-D and 16 in 3-D")
    bank: Count = Field(10_000, description="most normals kept, a uniform sample where there are more")


class PixelNearestNeighbour(Detector):
    """score = min over normals b of sqrt(mean (x - b)^2), on images averaged down to `side` per axis.

    The bank `[n, dimensions]` float32 holds at most `bank` normals, a uniform sample of those seen
    (`detectors.reservoir`).
    """

    Settings = PixelNearestNeighbourSettings
    settings: PixelNearestNeighbourSettings
    ranks = frozenset({2, 3})
    part = "distance"
    grows: Mapping[str, tuple[str | None, ...]] = {"bank": ("n", None)}
    keeps: Mapping[str, Literal["thumbnails", "features", "digests"]] = {"bank": "thumbnails"}

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        side = settings.side or THUMBNAIL[len(self.size)]
        self.thumbnail = tuple(min(side, length) for length in self.size)
        dimensions = channels * torch.Size(self.thumbnail).numel()
        self.bank: Tensor
        self.seen: Tensor
        self.register_buffer("bank", torch.empty(0, dimensions))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def stages(self) -> Iterator[Stage]:
        yield Stage("bank", {"normal": 1.0}, collect=self.collect)

    def collect(self, batches: Batches) -> None:
        rows = self._thumbnails(batches["normal"].images).to(self.bank.device)
        self.bank, seen = add_to_reservoir(self.bank, int(self.seen), rows, self.settings.bank)
        self.seen.fill_(seen)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        rows = self._thumbnails(batch.images)
        distances, _ = nearest(rows, self.bank, 1)
        return self.one_part(distances[:, 0] / rows.shape[1] ** 0.5)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        return Tiny(
            PixelNearestNeighbourSettings(side=8),
            1,
            (16,) * rank,
            {"bank": StageSettings(epochs=1, batch_size=4)},
        )

    def _thumbnails(self, images: Tensor) -> Tensor:
        return area_resize(images.float(), self.thumbnail).flatten(1)
