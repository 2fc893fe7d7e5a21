"""Scores of an image from scores of its tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from secondread.detectors.contract import Batch, Part, Scores, ScoringNoise
from secondread.tiling.tiles import Blend, Corner, blend_weights, corners, tile_at
from secondread.tiling.window_settings import WindowSettings

ELEMENTS_AT_ONCE = 1 << 19
"""Pixels of the tiles that a detector is given together."""

Score = Callable[[Batch, ScoringNoise], Scores]


class TileScores:
    """Asks `score` for tiles in place of the image, and puts together what it says.

    Given a batch of one image `[1, C, *size]`. Tiles without a valid pixel are left out, where another has
    one. The parts of the tiles become the image's as `WindowSettings.score` says; maps are averaged where
    tiles overlap, with weights that fall off from a tile's middle, and are 0 where no tile was read. All
    tiles draw their noise from the image's stream, one after the other. Which tiles a detector is given
    together depends on the image alone.
    """

    def __init__(self, score: Score, window: WindowSettings) -> None:
        self.score, self.window = score, window

    def __call__(self, batch: Batch, noise: ScoringNoise) -> Scores:
        image, side = batch.images, self.window.size
        size = tuple(image.shape[2:])
        read = self._read(batch, size)
        together = max(1, ELEMENTS_AT_ONCE // math.prod(side))
        weights = _weights(self.window.size, self.window.blend).to(image.device)
        parts: dict[str, list[Part]] = {}
        sums: dict[str, Tensor] = {}
        total = torch.zeros(size, device=image.device)
        shares: list[Tensor] = []
        for start in range(0, len(read), together):
            chosen = read[start : start + together]
            tiles = _tiles(batch, chosen, side)
            found = self.score(tiles, ScoringNoise(list(noise.generators) * len(chosen), noise.device))
            for name, part in found.parts.items():
                parts.setdefault(name, []).append(part)
            shares.append(_valid_share(tiles))
            for name, tile_maps in found.maps.items():
                blended = sums.setdefault(name, torch.zeros(size, device=image.device))
                for corner, tile_map in zip(chosen, tile_maps[:, 0].float(), strict=True):
                    blended[tile_at(corner, side)] += weights * tile_map
            if found.maps:
                for corner in chosen:
                    total[tile_at(corner, side)] += weights
        maps = {name: (blended / total.clamp_min(1e-30))[None, None] for name, blended in sums.items()}
        return Scores({name: self._pooled(told, torch.cat(shares)) for name, told in parts.items()}, maps)

    def _read(self, batch: Batch, size: Sequence[int]) -> list[Corner]:
        """The corners of the tiles that are read."""
        every = corners(size, self.window.size, self.window.overlap)
        if batch.valid is None:
            return every
        valid = batch.valid[0, 0]
        return [corner for corner in every if bool(valid[tile_at(corner, self.window.size)].any())] or every

    def _pooled(self, told: Sequence[Part], shares: Tensor) -> Part:
        """One part of the image, `[1]`, from those of its tiles."""
        values, tail, window = torch.cat([part.values for part in told]), told[0].tail, self.window
        if tail == "two" or window.score == "mean":
            return Part((values * shares / shares.sum()).sum()[None], tail)
        match window.score:
            case "max":
                pooled = values.amax()
            case "top":
                pooled = values.topk(min(window.top, len(values))).values.mean()
            case _:
                pooled = values.float().quantile(window.quantile)
        return Part(pooled[None], tail)


def _tiles(batch: Batch, chosen: Sequence[Corner], side: Sequence[int]) -> Batch:
    images = torch.cat([batch.images[tile_at(corner, side)] for corner in chosen])
    valid = None
    if batch.valid is not None:
        valid = torch.cat([batch.valid[tile_at(corner, side)] for corner in chosen])
        valid = None if bool(valid.all()) else valid
    return Batch(images, valid, digests=batch.digests * len(chosen))


def _valid_share(tiles: Batch) -> Tensor:
    """`[n]`, above 0, so that an image without a valid pixel has a mean too."""
    if tiles.valid is None:
        return tiles.images.new_ones(len(tiles))
    return tiles.valid.flatten(1).float().mean(dim=1).clamp_min(1e-6)


@lru_cache(8)
def _weights(window: tuple[int, ...], blend: Blend) -> Tensor:
    return torch.from_numpy(blend_weights(window, blend))
