"""What a person may set about the detector of one or two Glows, or other densities of images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from secondread.detectors.blocks.image_flow.architecture import AnyImageFlowSettings, GlowFlowSettings
from secondread.detectors.detector_settings import DetectorSettings
from secondread.settings.base import Count, Draws


class GlowPosteriorSettings(DetectorSettings):
    name: Literal["glow-posterior"] = "glow-posterior"
    flow: AnyImageFlowSettings = Field(
        GlowFlowSettings(), description="the density, of one architecture for both models"
    )
    bits: int = Field(8, ge=1, le=16, description="an image has 2^bits levels")
    draws: Draws = Field(1, description="of the dequantisation noise at scoring, averaged")
    second: Literal["mixture", "background", "none"] = Field(
        "mixture", description="what the second model learns: the unlabelled images, or spoilt normals"
    )
    replace: float = Field(
        0.2, gt=0, lt=1, description="background: share of pixels that get a random level in training"
    )
    start: Literal["own", "same", "trained"] = Field(
        "own",
        description="the second model's first parameters: its own, the same as the first model's, or the "
        "first model's trained ones",
    )
    initial_images: Count = Field(256, description="to which the activation normalisation is fitted")
    score: Literal["posterior", "likelihood", "typicality"] = "posterior"
    map: Literal["posterior", "gradient", "likelihood", "none"] = "posterior"
    smooth: float = Field(0.0, ge=0, le=1_000, description="standard deviation in pixels of the map's blur")

    @model_validator(mode="after")
    def _consistent(self) -> GlowPosteriorSettings:
        if self.second == "none" and "posterior" in (self.score, self.map):
            raise ValueError(
                "the posterior needs a second model: set second to mixture or background, or score to "
                "likelihood or typicality and map to likelihood, gradient or none"
            )
        return self
