"""What is said of an image's tiles becomes what is said of the image. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.tiling.tiles import Blend, Corner, blend_weights, corners, tile_at
from secondread.tiling.window_settings import WindowSettings

ELEMENTS_AT_ONCE = 1 << 19
"""Pixels of the tiles that a detector is given together."""
Floats = NDArray[np.float32]


class TiledImage:
    """The tiles of one image `[*size]` that are read, and what was said of them so far.

    valid  bool `[*size]`; None = valid everywhere. Tiles without a valid pixel are left out, where another
           has one

    The parts of the tiles become the image's as `WindowSettings.score` says; maps are averaged where tiles
    overlap, with weights that fall off from a tile's middle, and are 0 where no tile was read.
    """

    def __init__(self, size: Sequence[int], window: WindowSettings, valid: NDArray[np.bool_] | None) -> None:
        self.size, self.window, self.valid = tuple(size), window, valid
        every = corners(size, window.size, window.overlap)
        held = every if valid is None else [at for at in every if valid[tile_at(at, window.size)].any()]
        self.corners: list[Corner] = held or every
        self._values: dict[str, list[Floats]] = {}
        self._tails: dict[str, Literal["upper", "two"]] = {}
        self._sums: dict[str, Floats] = {}
        self._weight = np.zeros(self.size, np.float32)

    def groups(self, at_once: int = ELEMENTS_AT_ONCE) -> Iterator[list[Corner]]:
        """The corners of tiles that a detector is given together, which depends on the image alone."""
        together = max(1, at_once // math.prod(self.window.size))
        for start in range(0, len(self.corners), together):
            yield self.corners[start : start + together]

    def add(
        self,
        chosen: Sequence[Corner],
        parts: Mapping[str, Floats],
        tails: Mapping[str, Literal["upper", "two"]],
        maps: Mapping[str, Floats],
    ) -> None:
        """What a detector said of these tiles: parts `[n]` and maps `[n, *window]`."""
        weights = _weights(self.window.size, self.window.blend)
        self._tails |= tails
        for name, values in parts.items():
            self._values.setdefault(name, []).append(values)
        for name, tile_maps in maps.items():
            blended = self._sums.setdefault(name, np.zeros(self.size, np.float32))
            for corner, tile_map in zip(chosen, tile_maps, strict=True):
                blended[tile_at(corner, self.window.size)] += weights * tile_map
        if maps:
            for corner in chosen:
                self._weight[tile_at(corner, self.window.size)] += weights

    def parts(self) -> dict[str, np.float32]:
        """The image's."""
        return {name: self._pooled(name, np.concatenate(told)) for name, told in self._values.items()}

    def maps(self) -> dict[str, Floats]:
        """The image's, each `[*size]`."""
        weight = np.maximum(self._weight, np.float32(1e-30))
        return {name: np.asarray(blended / weight, np.float32) for name, blended in self._sums.items()}

    def _pooled(self, name: str, values: Floats) -> np.float32:
        window = self.window
        if self._tails[name] == "two" or window.score == "mean":
            shares = self._shares()
            return np.float32((values * shares / shares.sum()).sum())
        match window.score:
            case "max":
                return np.float32(values.max())
            case "top":
                return np.float32(np.sort(values)[-min(window.top, len(values)) :].mean())
            case _:
                return np.float32(np.quantile(values, window.quantile))

    def _shares(self) -> Floats:
        """Of each tile's pixels the share that is valid, above 0, so that an image without a valid pixel has
        a mean too."""
        if self.valid is None:
            return np.ones(len(self.corners), np.float32)
        found = [self.valid[tile_at(at, self.window.size)].mean() for at in self.corners]
        return np.maximum(np.array(found, np.float32), np.float32(1e-6))


@lru_cache(8)
def _weights(window: tuple[int, ...], blend: Blend) -> Floats:
    return blend_weights(window, blend)
