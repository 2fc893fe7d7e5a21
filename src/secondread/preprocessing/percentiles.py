"""Percentiles: each image's own range to [0, 1]."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from secondread.preprocessing.picture import Picture
from secondread.settings.base import Settings

MOST_VALUES = 1 << 20
"""Percentiles of more values than this are taken over every k-th one."""


class PercentileBounds(Settings):
    """Percentiles shown as 0 and as 1, over `all` pixels or over the `foreground` (see Picture.sample)."""

    low: float = Field(1.0, ge=0.0, le=100.0)
    high: float = Field(99.0, ge=0.0, le=100.0)
    over: Literal["all", "foreground"] = "all"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must lie below high ({self.high:g})")
        return self


class Percentiles(Settings):
    """clip((x − P_low) / (P_high − P_low), 0, 1), the percentiles P taken over this image.

    Where both percentiles are equal (a constant image, or one with few spikes), what lies above them
    becomes 1 and the rest 0.
    """

    percentiles: PercentileBounds = PercentileBounds()

    def apply(self, picture: Picture) -> Picture:
        sample = picture.sample(self.percentiles.over)
        if sample.size > MOST_VALUES:
            sample = sample[:: -(-sample.size // MOST_VALUES)]
        low, high = map(float, np.percentile(sample, [self.percentiles.low, self.percentiles.high]))
        if not picture.differ(high - low, max(abs(low), abs(high))):
            return picture.with_values((picture.values > high).astype(np.float32))
        shown = picture.shifted(low) / (high - low)
        return picture.with_values(np.clip(shown, 0.0, 1.0, out=shown))
