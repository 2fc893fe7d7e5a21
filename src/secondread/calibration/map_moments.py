"""Mean, spread and a random sample of the pixels of any number of maps, in fixed memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Maps = Mapping[str, NDArray[np.float32]]


class MapMoments:
    """Takes maps batch by batch and keeps none of them.

    Means and standard deviations are over all valid pixels, exact (Chan's update, in float64). For
    quantiles of any mixture of the map parts it keeps a uniform random sample of at most `sample`
    pixels, all parts of a pixel together: each pixel draws a number from `seed`, and the pixels with
    the smallest numbers stay. So the result depends on the images and their order, not on batches. A
    share r estimated from m pixels has standard error `sqrt(r (1 - r) / m)`: 0.01 % at r = 1 % with
    the default.
    """

    def __init__(self, *, sample: int = 1 << 20, seed: int = 0) -> None:
        self.sample_size = sample
        self.pixels = 0
        self._random = np.random.default_rng(seed)
        self._mean: dict[str, float] = {}
        self._squares: dict[str, float] = {}
        self._keys: list[NDArray[np.float64]] = []
        self._kept: dict[str, list[NDArray[np.float32]]] = {}
        self._waiting = 0
        self._bar = 1.0

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._mean)

    def update(self, maps: Maps, valid: NDArray[np.bool_] | None = None) -> None:
        """Maps `[b, *size]` by part, and optionally where they are valid, `[b, *size]` or
        `[b, 1, *size]`. ValueError for other parts than before or a valid pixel that is not finite."""
        if not self._mean:
            self._mean = dict.fromkeys(maps, 0.0)
            self._squares = dict.fromkeys(maps, 0.0)
            self._kept = {name: [] for name in maps}
        if set(maps) != set(self._mean):
            raise ValueError(f"map parts {sorted(maps)} differ from those before, {sorted(self._mean)}")
        for i in range(len(next(iter(maps.values())))):
            where = None if valid is None else valid[i].reshape(next(iter(maps.values())).shape[1:])
            self._add({name: m[i].ravel() if where is None else m[i][where] for name, m in maps.items()}, i)

    def _add(self, pixels: dict[str, NDArray[np.float32]], index: int) -> None:
        count = len(next(iter(pixels.values())))
        if not count:
            return
        for name, values in pixels.items():
            mean = float(values.mean(dtype=np.float64))
            if not np.isfinite(mean):
                raise ValueError(f"map {name!r} of image {index} of the batch is not finite")
            squares = float(np.square(values.astype(np.float64) - mean).sum())
            gap = mean - self._mean[name]
            whole = self.pixels + count
            self._squares[name] += squares + gap * gap * self.pixels * count / whole
            self._mean[name] += gap * count / whole
        self.pixels += count
        keys = self._random.random(count)
        chosen = np.flatnonzero(keys < self._bar)
        self._keys.append(keys[chosen])
        for name, values in pixels.items():
            self._kept[name].append(np.asarray(values[chosen], dtype=np.float32))
        self._waiting += chosen.size
        if self._waiting > 2 * self.sample_size:
            self._trim()

    def _trim(self) -> None:
        keys = np.concatenate(self._keys) if self._keys else np.zeros(0)
        if keys.size > self.sample_size:
            chosen = np.sort(np.argpartition(keys, self.sample_size - 1)[: self.sample_size])
            self._bar = float(keys[chosen].max())
        else:
            chosen = np.arange(keys.size)
        self._keys = [keys[chosen]]
        self._kept = {
            name: [np.concatenate(kept)[chosen]] if kept else [] for name, kept in self._kept.items()
        }
        self._waiting = chosen.size

    @property
    def mean(self) -> dict[str, float]:
        return dict(self._mean)

    @property
    def sd(self) -> dict[str, float]:
        """Over all pixels (divided by their number)."""
        return {
            name: float(np.sqrt(squares / max(self.pixels, 1))) for name, squares in self._squares.items()
        }

    def sample(self) -> dict[str, NDArray[np.float32]]:
        """Each part's values at the sampled pixels, `[m]`, in the order of the images."""
        self._trim()
        return {name: kept[0] if kept else np.zeros(0, np.float32) for name, kept in self._kept.items()}
