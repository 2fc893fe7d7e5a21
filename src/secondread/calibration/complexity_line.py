"""The part of a score that complexity does not explain: a robust line fitted on normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from secondread.calibration.raw_scores import Floats

_HUBER = 1.345  # 95 % efficiency where the noise is normal (Huber 1981)


@dataclass(frozen=True)
class ComplexityLine:
    """`(score - intercept - slope * complexity - mean) / sd`, with mean and sd of the residuals."""

    slope: float
    intercept: float
    mean: float
    sd: float

    @classmethod
    def fit(cls, complexity: Floats, score: Floats) -> Self:
        """Huber's regression by iterated weights, scale from the median absolute residual.

        Where all complexities are equal the slope is 0. Residuals without spread are left unscaled.
        """
        centre = float(complexity.mean())
        x = complexity - centre
        slope, level = 0.0, float(np.median(score))
        weights = np.ones_like(score)
        for _ in range(100):
            total, mean_x, mean_y = (
                weights.sum(),
                np.average(x, weights=weights),
                np.average(score, weights=weights),
            )
            spread = float((weights * (x - mean_x) ** 2).sum())
            new = (
                float((weights * (x - mean_x) * (score - mean_y)).sum()) / spread
                if spread > 1e-12 * total
                else 0.0
            )
            new_level = float(mean_y - new * mean_x)
            settled = abs(new - slope) <= 1e-12 * (1 + abs(new)) and abs(new_level - level) <= 1e-12 * (
                1 + abs(level)
            )
            slope, level = new, new_level
            residual = score - level - slope * x
            scale = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
            if settled or scale <= 0:
                break
            weights = np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(residual), 1e-300))
        residual = score - level - slope * x
        mean, sd = float(residual.mean()), float(residual.std())
        return cls(
            slope, level - slope * centre, mean, sd if sd > 1e-9 * (1 + float(np.abs(score).max())) else 1.0
        )

    def residual(self, complexity: Floats, score: Floats) -> Floats:
        return (score - self.intercept - self.slope * complexity - self.mean) / self.sd
