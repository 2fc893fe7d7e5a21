"""What a recipe may say about calibration."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from secondread.settings.base import Count, Settings


class CalibrationSettings(Settings):
    """From raw parts to a decision.

    false_alarm_rate        the share of new normal studies that may be flagged
    part_weights            replaces the weights by which the detector mixes its parts
    complexity              none; residual: the score's residual after a robust line on complexity
                            among validation normals; difference: `-log p - L` in bits per dimension
                            (Serrà et al., ICLR 2020), with L the complexity
    complexity_part         difference: the part that holds -log p per dimension
    complexity_unit         difference: the unit of that part
    map_low_quantile        common colour scale: the quantiles of validation normals' map pixels that
    map_quantile            become its lower and its upper end
    pixel_false_alarm_rate  share of calibration normals' pixels above the map's threshold
    map_sample              pixels kept, drawn at random, to estimate those quantiles
    """

    false_alarm_rate: float = Field(0.05, gt=0.0, lt=1.0)
    part_weights: dict[str, float] | None = None
    complexity: Literal["none", "residual", "difference"] = "none"
    complexity_part: str | None = None
    complexity_unit: Literal["nats", "bits"] = "nats"
    map_low_quantile: float = Field(0.5, ge=0.0, lt=1.0)
    map_quantile: float = Field(0.995, gt=0.0, le=1.0)
    pixel_false_alarm_rate: float = Field(0.01, gt=0.0, lt=1.0)
    map_sample: Count = 1 << 20

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.complexity == "difference") != (self.complexity_part is not None):
            raise ValueError(
                "complexity_part names the part of complexity: difference, and belongs to it alone"
            )
        if self.map_low_quantile >= self.map_quantile:
            raise ValueError("map_low_quantile must be below map_quantile")
        if self.part_weights is not None and not any(self.part_weights.values()):
            raise ValueError("part_weights must give some part a weight other than 0")
        return self
