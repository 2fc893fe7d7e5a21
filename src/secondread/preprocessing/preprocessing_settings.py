"""What a recipe says about preprocessing."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from secondread.preprocessing.alignment.align import Align
from secondread.preprocessing.colour import Colour
from secondread.preprocessing.foreground import Above, Foreground
from secondread.preprocessing.grid import Fit, Resample
from secondread.preprocessing.percentiles import Percentiles
from secondread.preprocessing.standardise import Standardise
from secondread.preprocessing.window import Window
from secondread.settings.base import Settings

LARGEST = 1 << 26
"""Pixels of a prepared image: 8192×8192, or 512×512 in 256 slices."""
STEP_NAMES = ("window", "percentiles", "standardise", "resample", "align")


def _name_of(step: Any) -> str | None:
    if isinstance(step, Settings):
        names = list(type(step).model_fields)
    else:
        names = list(step) if isinstance(step, dict) else []
    return str(names[0]) if len(names) == 1 and names[0] in STEP_NAMES else None


Step = Annotated[
    Annotated[Window, Tag("window")]
    | Annotated[Percentiles, Tag("percentiles")]
    | Annotated[Standardise, Tag("standardise")]
    | Annotated[Resample, Tag("resample")]
    | Annotated[Align, Tag("align")],
    Discriminator(
        _name_of,
        custom_error_type="preprocessing_step",
        custom_error_message="a step is one name with its settings, such as window: header; names are "
        + ", ".join(STEP_NAMES),
    ),
]


class PreprocessingSettings(Settings):
    """From a file's image to a float32 array `[C, *size]`.

    size    rows and columns, or slices, rows and columns
    files   how many files make one image, each one channel (four MR sequences, say): a manifest's `path`
            names them separated by `|`. More than one go with `grey`: of each file the luminance
    colour  channels of the result: `grey` is the luminance of colour, `rgb` repeats grey three times
    fit     how an image comes to `size` (see `grid.fit_grid`): stretch, pad, crop, or place without scaling
    foreground  none; or a threshold on prepared values, `{above: 0.05}` (see `foreground.Above`); or given: a
            path names one file more than `files`, and the last is a mask, which is not 0 on the foreground.
            What lies outside is not valid, so that nothing counts it, and has the lowest value. The
            intensity steps look at the foreground alone where it is given. regions: what of an
            ultrasound image its header names, likewise
    steps   in order, on the file's own grid: `window`, `percentiles` and `standardise` change
            values; then `resample` brings to a spacing in millimetres, then the image is fitted to `size`,
            and `align` comes last. Values lie in [0, 1] after window or percentiles
    """

    size: tuple[Annotated[int, Field(ge=1, le=LARGEST)], ...] = Field(min_length=2, max_length=3)
    files: Annotated[int, Field(ge=1, le=64)] = 1
    colour: Colour = "grey"
    fit: Fit = "stretch"
    foreground: Foreground = "none"
    steps: tuple[Step, ...] = Field((Window(window="header"),), max_length=16)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.files > 1 and self.colour == "rgb":
            raise ValueError(
                f"files: {self.files} gives as many channels, and colour: rgb gives three of one file; set "
                "colour: grey, for a detector that takes any number of channels"
            )
        if self.files * math.prod(self.size) > LARGEST:
            asked, most = (4 * pixels / 2**30 for pixels in (self.files * math.prod(self.size), LARGEST))
            raise ValueError(
                f"size asks for images of {asked:,.3g} GiB each, and {most:.3g} GiB are the most"
            )
        kinds = [type(step) for step in self.steps]
        for kind, name in ((Resample, "resample"), (Align, "align")):
            if kinds.count(kind) > 1:
                raise ValueError(f"{name} may come once")
        order = [1 if kind is Resample else 2 if kind is Align else 0 for kind in kinds]
        if order != sorted(order):
            raise ValueError(
                "steps come in this order: window, percentiles and standardise, then resample, then align"
            )
        if self.resample is not None:
            if len(self.resample.resample.spacing) != len(self.size):
                raise ValueError(
                    f"resample has {len(self.resample.resample.spacing)} spacings for {len(self.size)} axes"
                )
            if any(s <= 0 for s in self.resample.resample.spacing):
                raise ValueError("resample needs spacings above 0 (millimetres)")
            if self.fit == "stretch":
                raise ValueError(
                    "resample has no effect with fit: stretch; use place (keeps millimetres), pad or crop"
                )
        if self.align is not None and min(self.size) < 8:
            raise ValueError(f"align needs at least 8 pixels along each axis, and size is {self.size}")
        return self

    @property
    def intensity_steps(self) -> tuple[Window | Percentiles | Standardise, ...]:
        return tuple(step for step in self.steps if not isinstance(step, Resample | Align))

    @property
    def resample(self) -> Resample | None:
        return next((step for step in self.steps if isinstance(step, Resample)), None)

    @property
    def align(self) -> Align | None:
        return next((step for step in self.steps if isinstance(step, Align)), None)

    @property
    def threshold(self) -> Above | None:
        """By which the foreground is found; None where it is given, or there is none."""
        return self.foreground if isinstance(self.foreground, Above) else None

    @property
    def named_files(self) -> int:
        """How many files a path names: one for each channel and, where it is given, the foreground's mask."""
        return self.files + (self.foreground == "given")

    @property
    def channels(self) -> int:
        return self.files if self.colour == "grey" else 3
