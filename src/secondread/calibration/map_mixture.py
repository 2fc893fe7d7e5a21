"""One map from several map parts, its common colour scale and its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.map_moments import MapMoments
from secondread.errors import UserError


@dataclass(frozen=True)
class MapPartScale:
    """`weight * (m - mean) / sd` where maps are scaled; sd is 1 where validation maps do not vary."""

    weight: float
    mean: float
    sd: float


@dataclass(frozen=True)
class CalibratedMaps:
    """The rule that mixes map parts.

    low, high   common colour scale: quantiles of validation normals' pixels; where most are alike (a map that
                is at its lowest there), the upper one is of the pixels above them
    threshold   pixels at or above it: `pixel_false_alarm_rate` of calibration normals' pixels, or fewer where
                many are alike; None where calibration came without maps
    """

    scaled: bool
    parts: Mapping[str, MapPartScale]
    low: float
    high: float
    threshold: float | None = None

    @classmethod
    def fit(
        cls,
        validation: MapMoments,
        weights: Mapping[str, float],
        settings: CalibrationSettings,
        *,
        scaled: bool,
    ) -> Self:
        """From validation normals' maps. UserError where a weight names no map part."""
        for name in weights:
            if name not in validation.parts:
                known = ", ".join(validation.parts) or "none"
                raise UserError(f"calibration mixes the map {name!r}, and the detector gives {known}")
        mean, sd = validation.mean, validation.sd
        parts = {}
        for name, weight in weights.items():
            spread = sd[name] > 1e-6 * abs(mean[name])
            parts[name] = MapPartScale(float(weight), mean[name], sd[name] if spread else 1.0)
        unscaled = cls(scaled, parts, 0.0, 0.0)
        pixels = unscaled.combine(validation.sample())
        low, high = np.quantile(pixels, [settings.map_low_quantile, settings.map_quantile])
        if not high > low and (above := pixels[pixels > low]).size:
            high = np.quantile(above, settings.map_quantile)
        return replace(unscaled, low=float(low), high=float(high))

    def with_threshold(self, calibration: MapMoments, rate: float) -> Self:
        """The threshold from calibration normals' maps."""
        pixels = self.combine(calibration.sample())
        threshold = float(np.quantile(pixels, 1.0 - rate))
        if np.count_nonzero(pixels >= threshold) > rate * len(pixels) + 1:  # so many are alike
            above = pixels[pixels > threshold]
            threshold = float(above.min() if above.size else np.nextafter(pixels.max(), np.float32(np.inf)))
        return replace(self, threshold=threshold)

    def combine(self, maps: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Map parts of one shape, float32, to the map of that shape; pixel by pixel."""
        total: NDArray[np.float32] | None = None
        for name, scale in self.parts.items():
            if name not in maps:
                raise ValueError(f"the raw scores lack the map {name!r}; they hold {sorted(maps)}")
            values = np.asarray(maps[name], dtype=np.float32)
            if self.scaled:
                values = (values - np.float32(scale.mean)) / np.float32(scale.sd)
            weighted = np.float32(scale.weight) * values
            total = weighted if total is None else total + weighted
        if total is None:
            raise ValueError("no map part is mixed")
        return total
