"""What a person may set about a density of images: its kind, and the architecture of each kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, SerializeAsAny, model_validator

from secondread.errors import UserError
from secondread.flows.glow.glow import Glow
from secondread.flows.glow.scales import Scale, Scheme
from secondread.flows.glow.step import Memory
from secondread.flows.image_flow import ImageFlow
from secondread.flows.residual.activations import Activation
from secondread.flows.residual.residual_flow import ResidualFlow
from secondread.flows.residual.series import Truncation
from secondread.settings.base import Layers, Settings, Width
from secondread.settings.mistakes import validated_by_kind


class ImageFlowSettings(Settings):
    """Each kind has its own class, which its `name` means."""

    name: str

    def build(self, channels: int, size: tuple[int, ...]) -> ImageFlow:
        """The flow for images `[channels, *size]`. ValueError where a side cannot be halved so often."""
        raise NotImplementedError


class GlowFlowSettings(ImageFlowSettings):
    """A Glow (`flows.glow.glow`)."""

    name: Literal["glow"] = "glow"
    levels: Layers = Field(3, description="each halves every side of the image")
    depth: Layers = Field(8, description="steps per level")
    width: Width = Field(128, description="of the coupling networks' hidden layers")
    scale: Scheme = Field("glow", description="how a coupling scales (`flows.glow.scales`)")
    bound: PositiveFloat | None = Field(
        None, description="of the log-scale, scale: exp (2), or half the interval, scale: spline (5)"
    )
    bins: int = Field(8, ge=2, le=100, description="of each spline, scale: spline")
    mixing: Literal["plain", "lu"] = Field("plain", description="form of the invertible 1×1 convolution")
    border: bool = Field(True, description="3×3 convolutions see where the image ends")
    split_prior: Literal["learned", "unit"] = Field("learned", description="unit: as in Shibata et al.")
    top_prior: Literal["learned", "unit"] = Field("learned", description="unit: as in Shibata et al.")
    memory: Memory = Field(
        "recompute", description="what backpropagation keeps of a step; the result is the same"
    )
    anchors: Layers = Field(8, description="memory: invert keeps the output of every so many steps")

    def build(self, channels: int, size: tuple[int, ...]) -> Glow:
        return Glow(
            len(size),
            channels,
            size,
            levels=self.levels,
            depth=self.depth,
            width=self.width,
            scale=Scale(self.scale, self.bound or (5.0 if self.scale == "spline" else 2.0), self.bins),
            mixing=self.mixing,
            border=self.border,
            split_prior=self.split_prior,
            top_prior=self.top_prior,
            memory=self.memory,
            anchors=self.anchors,
        )


class ResidualFlowSettings(ImageFlowSettings):
    """A residual flow, or with `extra: none` and `activation: elu` an i-ResNet
    (`flows.residual.residual_flow`)."""

    name: Literal["residual"] = "residual"
    levels: Layers = Field(3, description="each halves every side of the image, the first if squeeze_first")
    depth: Layers = Field(4, description="residual blocks per level")
    width: Width = Field(64, description="of the blocks' hidden layers")
    dense: int = Field(0, ge=0, le=64, description="blocks of linear layers behind the last level")
    dense_width: Width = Field(128, description="of their hidden layers")
    activation: Activation = "lipswish"
    coefficient: float = Field(0.98, gt=0, lt=1, description="bound of each layer's spectral norm")
    tolerance: float = Field(
        1e-3, gt=0, le=0.1, description="the power iteration ends where the norm changes by a smaller share"
    )
    extra: Literal["none", "geometric", "poisson"] = Field(
        "geometric", description="random terms of the series, which free it of bias; none: a fixed number"
    )
    rate: float = Field(
        0.5,
        gt=0,
        le=20,
        description="geometric: chance that no more follow; poisson: mean of the terms",
    )
    exact: Layers = Field(2, description="terms of the series that are always there, in training")
    scoring_exact: Layers = Field(20, description="the same at scoring")
    squeeze_first: bool = Field(True, description="halve the sides before the first level too")
    logit: float | None = Field(
        None, gt=0, lt=0.5, description="begin with the logit of a + (1 - 2 a) x, for this a; empty: pixels"
    )

    @model_validator(mode="after")
    def _consistent(self) -> ResidualFlowSettings:
        if self.extra == "geometric" and self.rate >= 1:
            raise ValueError("with extra: geometric, rate is a chance below 1")
        return self

    def build(self, channels: int, size: tuple[int, ...]) -> ResidualFlow:
        return ResidualFlow(
            len(size),
            channels,
            size,
            levels=self.levels,
            depth=self.depth,
            width=self.width,
            dense=self.dense,
            dense_width=self.dense_width,
            activation=self.activation,
            coefficient=self.coefficient,
            tolerance=self.tolerance,
            training=Truncation(self.exact, self.extra, self.rate),
            scoring=Truncation(self.scoring_exact, self.extra, self.rate),
            squeeze_first=self.squeeze_first,
            logit=self.logit,
        )


KINDS: dict[str, type[ImageFlowSettings]] = {"glow": GlowFlowSettings, "residual": ResidualFlowSettings}


def _of_their_kind(given: Any) -> Any:
    def settings_of(name: str) -> type[ImageFlowSettings]:
        if name not in KINDS:
            raise UserError(f"there is no flow of images {name!r}; there are {', '.join(KINDS)}")
        return KINDS[name]

    return validated_by_kind({"name": given} if isinstance(given, str) else given, settings_of, "glow")


AnyImageFlowSettings = Annotated[SerializeAsAny[ImageFlowSettings], BeforeValidator(_of_their_kind)]
"""Settings of any kind, within those of a detector; a name alone stands for that kind as it is by default."""
