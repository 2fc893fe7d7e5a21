"""What a recipe says about the post-processing of maps."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from secondread.settings.base import Count, Settings, Window


class MapSettings(Settings):
    """What becomes of every map before anything is calibrated on it, in this order. Nothing by default.

    subtract_normal  the mean map of validation normals, position by position, is taken off: for images that
                     lie alike
    at_least         a prior on intensity: the map keeps its values where some channel of the prepared image
    at_most          lies between both, and has its lowest elsewhere
    erode            pixels by which the area in which a map counts is smaller than the foreground (or what is
                     valid), by steps along the axes; the image's own edge takes nothing off
    median           side of a median filter over the positions that count; 1 = none
    smallest         components of pixels at or above the calibrated map threshold that have fewer pixels
                     (neighbours along diagonals too) come just below it; 1 = none
    score            a part `map` of the image: the mean, the largest value, or the mean of the highest
                     `top_share`, over the valid positions of the processed map. It is mixed into the score
                     where `calibration.part_weights` names it

    >>> from secondread.postprocessing.map_settings import MapSettings
    >>> MapSettings(median=5, erode=2).score
    'none'
    """

    subtract_normal: bool = False
    at_least: float | None = None
    at_most: float | None = None
    erode: Annotated[int, Field(ge=0, le=1 << 10)] = 0
    median: Window = 1
    smallest: Count = 1
    score: Literal["none", "mean", "max", "top"] = "none"
    top_share: float = Field(0.01, gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.at_least is not None and self.at_most is not None and not self.at_least < self.at_most:
            raise ValueError(f"at_least ({self.at_least:g}) must lie below at_most ({self.at_most:g})")
        return self

    @property
    def has_prior(self) -> bool:
        """Whether the prepared image says where a map keeps its values."""
        return self.at_least is not None or self.at_most is not None
