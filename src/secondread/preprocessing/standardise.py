"""Standardise: each image to mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import PositiveFloat

from secondread.preprocessing.picture import Picture
from secondread.settings.base import Settings


class Standardisation(Settings):
    """Over which pixels the mean and deviation are taken, and how many deviations are kept."""

    over: Literal["all", "foreground"] = "all"
    clip: PositiveFloat | None = 8.0


class Standardise(Settings):
    """clip((x − mean) / sd, ±clip), the moments taken over this image; a constant image becomes 0."""

    standardise: Standardisation = Standardisation()

    def apply(self, picture: Picture) -> Picture:
        sample = picture.sample(self.standardise.over)
        mean = float(sample.mean(dtype=np.float64))
        deviation = float(sample.std(dtype=np.float64))
        centred = picture.shifted(mean)
        if not picture.differ(deviation, max(abs(mean), 1e-30)):
            deviation = float(np.abs(centred).max()) or 1.0
            if not picture.differ(deviation, mean):
                return picture.with_values(np.zeros_like(picture.values))
        values = centred / deviation
        if self.standardise.clip is not None:
            np.clip(values, -self.standardise.clip, self.standardise.clip, out=values)
        return picture.with_values(values)
