"""What a person may set about the detector of one or two Glows, and the Glow that this names."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from secondread.detectors.detector_settings import DetectorSettings
from secondread.flows.glow.glow import Glow
from secondread.flows.glow.scales import Scale, Scheme
from secondread.flows.glow.step import Memory
from secondread.settings.base import Count, Draws, Layers, Settings, Width


class GlowFlowSettings(Settings):
    """The architecture, the same for both models (`flows.glow.glow`)."""

    levels: Layers = Field(3, description="each halves every side of the image")
    depth: Layers = Field(8, description="steps per level")
    width: Width = Field(128, description="of the coupling networks' hidden layers")
    scale: Scheme = Field("glow", description="how a coupling scales (`flows.glow.scales`)")
    bound: PositiveFloat = Field(2.0, description="of the log-scale, scale: exp")
    mixing: Literal["plain", "lu"] = Field("plain", description="form of the invertible 1×1 convolution")
    border: bool = Field(True, description="3×3 convolutions see where the image ends")
    split_prior: Literal["learned", "unit"] = Field("learned", description="unit: as in Shibata et al.")
    top_prior: Literal["learned", "unit"] = Field("learned", description="unit: as in Shibata et al.")
    memory: Memory = Field(
        "recompute", description="what backpropagation keeps of a step; the result is the same"
    )
    anchors: Layers = Field(8, description="memory: invert keeps the output of every so many steps")


class GlowPosteriorSettings(DetectorSettings):
    name: Literal["glow-posterior"] = "glow-posterior"
    flow: GlowFlowSettings = GlowFlowSettings()
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


def build_glow(settings: GlowFlowSettings, channels: int, size: tuple[int, ...]) -> Glow:
    """The Glow for images `[channels, *size]`. ValueError where a side is no multiple of 2^levels."""
    return Glow(
        len(size),
        channels,
        size,
        levels=settings.levels,
        depth=settings.depth,
        width=settings.width,
        scale=Scale(settings.scale, settings.bound),
        mixing=settings.mixing,
        border=settings.border,
        split_prior=settings.split_prior,
        top_prior=settings.top_prior,
        memory=settings.memory,
        anchors=settings.anchors,
    )
