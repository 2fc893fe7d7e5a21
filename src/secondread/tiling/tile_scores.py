"""Scores of an image from scores of its tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from secondread.detectors.contract import Batch, Part, Scores, ScoringNoise
from secondread.tiling.tiled_image import TiledImage
from secondread.tiling.tiles import Corner, tile_at
from secondread.tiling.window_settings import WindowSettings

Score = Callable[[Batch, ScoringNoise], Scores]


class TileScores:
    """Asks `score` for tiles in place of the image, and puts together what it says.

    Given a batch of one image `[1, C, *size]`. What becomes of the tiles' parts and maps is `TiledImage`'s.
    All tiles draw their noise from the image's stream, one after the other. Which tiles a detector is given
    together depends on the image alone.
    """

    def __init__(self, score: Score, window: WindowSettings) -> None:
        self.score, self.window = score, window

    def __call__(self, batch: Batch, noise: ScoringNoise) -> Scores:
        valid = None if batch.valid is None else batch.valid[0, 0].cpu().numpy()
        image = TiledImage(tuple(batch.images.shape[2:]), self.window, valid)
        for chosen in image.groups():
            tiles = _tiles(batch, chosen, self.window.size)
            found = self.score(tiles, ScoringNoise(list(noise.generators) * len(chosen), noise.device))
            image.add(
                chosen,
                {name: part.values.float().cpu().numpy() for name, part in found.parts.items()},
                {name: part.tail for name, part in found.parts.items()},
                {name: told[:, 0].float().cpu().numpy() for name, told in found.maps.items()},
            )
        return Scores(
            {
                name: Part(torch.tensor([value]), found.parts[name].tail)
                for name, value in image.parts().items()
            },
            {name: torch.from_numpy(told)[None, None] for name, told in image.maps().items()},
        )


def _tiles(batch: Batch, chosen: Sequence[Corner], side: Sequence[int]) -> Batch:
    images = torch.cat([batch.images[tile_at(corner, side)] for corner in chosen])
    valid = None
    if batch.valid is not None:
        valid = torch.cat([batch.valid[tile_at(corner, side)] for corner in chosen])
        valid = None if bool(valid.all()) else valid
    return Batch(images, valid, digests=batch.digests * len(chosen))
