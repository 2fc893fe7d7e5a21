"""One number for an image from its anomaly map."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.valid_positions import highest_over, mean_over, quantile_over
from secondread.settings.base import Settings


class PooledMapSettings(Settings):
    """A base beside `DetectorSettings`: its fields then stand among the detector's own."""

    image_score: Literal["max", "mean", "top", "quantile"] = Field(
        "max", description="of the map, over what is valid of it; top: the mean of the highest share"
    )
    top_share: float = Field(
        0.1, gt=0, le=1, description="the share that `top` averages, and that is above the `quantile`"
    )
    smoothing: float = Field(
        0.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur"
    )

    def pooled(self, anomaly_map: Tensor, valid: Tensor | None) -> Tensor:
        """The image score `[N]` of a map `[N, 1, *S]`, with its valid places or None."""
        if self.image_score == "mean":
            return mean_over(anomaly_map, valid)
        if self.image_score == "quantile":
            return quantile_over(anomaly_map, valid, 1 - self.top_share)
        return highest_over(anomaly_map, valid, self.top_share if self.image_score == "top" else 0.0)
