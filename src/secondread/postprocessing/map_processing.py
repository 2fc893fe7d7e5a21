"""The post-processing of maps with what validation normals taught it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread.postprocessing.areas import allowed, area_of
from secondread.postprocessing.components import without_small
from secondread.postprocessing.map_settings import MapSettings
from secondread.postprocessing.masked_median import masked_median
from secondread.settings.base import Settings
from secondread.wording.short import Short

Floats = NDArray[np.float32]
Maps = Mapping[str, Floats]
NORMAL = "normal_map_"
"""Before the name of a map part: its mean over validation normals."""


class MapProcessingDocument(Settings):
    """The JSON of `MapProcessing.state`."""

    settings: MapSettings
    weights: dict[str, float]
    lowest: dict[str, float]


@dataclass(frozen=True, repr=False)
class MapProcessing(Short):
    """Settings, and by map part what they need.

    weights  by which map parts are summed for the part `map`
    lowest   of the map among validation normals: what it has where it does not count, and at least anywhere
    normal   float32 `[*size]`, the mean map of validation normals; empty without `subtract_normal`

    Deterministic, and each image by itself.
    """

    settings: MapSettings
    weights: Mapping[str, float]
    lowest: Mapping[str, float]
    normal: Maps = field(default_factory=dict)

    @property
    def scores(self) -> bool:
        """Whether the processed map gives a part of the image score."""
        return self.settings.score != "none"

    def area(self, valid: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Where maps count; see `area_of`."""
        return area_of(valid, self.settings)

    def apply(self, maps: Maps, images: Floats, valid: NDArray[np.bool_] | None) -> dict[str, Floats]:
        """Maps `[n, *size]` by part, as they are after all steps that need no threshold.

        `images` `[n, C, *size]` are the prepared ones, valid there, `[n, 1, *size]` or None. ValueError where
        a part is not one that was fitted.
        """
        if unknown := sorted(maps.keys() ^ self.lowest.keys()):
            raise ValueError(f"maps were fitted for {sorted(self.lowest)}, and {unknown[0]!r} is not of both")
        area, prior = self.area(valid), self.settings.has_prior
        done = {name: np.empty_like(values, dtype=np.float32) for name, values in maps.items()}
        for row, image in enumerate(images):
            own = None if area is None else area[row]
            kept = allowed(image, self.settings) if prior else None
            for name, values in maps.items():
                done[name][row] = self._one(name, values[row], own, kept)
        return done

    def _one(
        self, name: str, values: Floats, area: NDArray[np.bool_] | None, kept: NDArray[np.bool_] | None
    ) -> Floats:
        lowest = np.float32(self.lowest[name])
        if name in self.normal:
            values = values - self.normal[name]
        values = np.maximum(values, lowest)
        for places in (kept, area):
            if places is not None:
                values = np.where(places, values, lowest)
        return masked_median(values, area, self.settings.median)

    def image_scores(self, maps: Maps, valid: NDArray[np.bool_] | None) -> NDArray[np.float64]:
        """`[n]`: of each image's processed maps, summed by weight, what `score` says over its valid
        positions."""
        total = sum(weight * maps[name].astype(np.float64) for name, weight in self.weights.items())
        assert isinstance(total, np.ndarray)
        found = np.empty(len(total))
        for row, values in enumerate(total):
            where = None if valid is None else valid[row, 0]
            seen = values.ravel() if where is None or not where.any() else values[where]
            found[row] = self._summary(seen)
        return found

    def _summary(self, values: NDArray[np.float64]) -> float:
        if self.settings.score == "mean":
            return float(values.mean())
        share = self.settings.top_share if self.settings.score == "top" else 0.0
        count = max(1, int(np.ceil(share * len(values))))
        return float(np.partition(values, len(values) - count)[-count:].mean())

    def finish(self, maps: Floats, threshold: float | None) -> Floats:
        """Mixed maps `[n, *size]` without the components that are too small; as they are without a
        threshold."""
        if threshold is None or self.settings.smallest == 1:
            return maps
        return np.stack([without_small(one, threshold, self.settings.smallest) for one in maps])

    def require_size(self, size: tuple[int, ...]) -> None:
        """ValueError where the normal maps are of another size, or not all there, or not finite."""
        wanted = self.lowest.keys() if self.settings.subtract_normal else {}
        for name, values in self.normal.items():
            if values.shape != size or values.dtype != np.float32 or not np.isfinite(values).all():
                raise ValueError(f"the mean map {name!r} of normals is no finite map of size {size}")
        if set(wanted) != set(self.normal):
            raise ValueError(
                f"mean maps of normals are there for {sorted(self.normal)}, not {sorted(wanted)}"
            )
        if not self.weights.keys() <= self.lowest.keys():
            raise ValueError("maps are mixed that were not fitted")

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays from which `from_state` makes an equal one."""
        document = MapProcessingDocument(
            settings=self.settings, weights=dict(self.weights), lowest=dict(self.lowest)
        )
        return document.model_dump(mode="json"), {
            f"{NORMAL}{name}": values for name, values in self.normal.items()
        }

    @classmethod
    def from_state(cls, document: MapProcessingDocument, arrays: Mapping[str, NDArray[Any]]) -> Self:
        normal = {
            name.removeprefix(NORMAL): values for name, values in arrays.items() if name.startswith(NORMAL)
        }
        return cls(document.settings, document.weights, document.lowest, normal)


class MapNormals:
    """Gathers from raw maps of validation normals, batch by batch, what a MapProcessing needs."""

    def __init__(self, settings: MapSettings, weights: Mapping[str, float]) -> None:
        self.settings, self.weights = settings, dict(weights)
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._least: dict[str, Floats] = {}
        self._count: NDArray[np.int64] | None = None

    def add(self, maps: Maps, valid: NDArray[np.bool_] | None) -> None:
        """Maps `[n, *size]` by part, of images that are valid there, `[n, 1, *size]` or None."""
        area = area_of(valid, self.settings)
        for name, values in maps.items():
            counted = values if area is None else np.where(area, values, np.float32(np.inf))
            least = counted.min(axis=0)
            self._least[name] = np.minimum(self._least[name], least) if name in self._least else least
            total = (values if area is None else np.where(area, values, 0)).sum(axis=0, dtype=np.float64)
            self._sums[name] = self._sums[name] + total if name in self._sums else total
        shape = next(iter(maps.values())).shape
        count = np.full(shape[1:], shape[0]) if area is None else area.sum(axis=0)
        self._count = count if self._count is None else self._count + count

    def fitted(self) -> MapProcessing:
        """ValueError where no position of any normal counts."""
        if self._count is None or not self._count.any():
            raise ValueError("no position of any map counts")
        seen = self._count > 0
        normal: dict[str, Floats] = {}
        if self.settings.subtract_normal:
            for name, total in self._sums.items():
                usual = total[seen].sum() / self._count[seen].sum()
                mean = np.where(seen, total / np.maximum(self._count, 1), usual)
                normal[name] = mean.astype(np.float32)
        lowest = {
            name: float((least - normal[name] if normal else least)[seen].min())
            for name, least in self._least.items()
        }
        return MapProcessing(self.settings, self.weights, lowest, normal)
