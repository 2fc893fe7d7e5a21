"""Window: physical values to display values in [0, 1]."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from secondread.images.image import Image, ImageError, Voi
from secondread.preprocessing.picture import Picture
from secondread.settings.base import Settings

CT_WINDOWS: dict[str, tuple[float, float]] = {
    "brain-shibata": (-14.0, 113.0),
    "brain": (0.0, 80.0),
    "stroke": (20.0, 60.0),
    "subdural": (-30.0, 170.0),
    "bone": (-800.0, 2000.0),
    "lung": (-1350.0, 150.0),
    "mediastinum": (-125.0, 225.0),
    "abdomen": (-150.0, 250.0),
    "liver": (-45.0, 105.0),
}
"""Hounsfield units shown as 0 and as 1. `brain-shibata` is clip(HU + 14, 0, 127) / 127 (Shibata et al. 2021,
on head CT); the others are the customary widths and levels (brain 80/40, stroke 40/40, subdural 200/70,
bone 2800/600, lung 1500/−600, mediastinum 350/50, abdomen 400/50, liver 150/30)."""

SUV = (0.0, 10.0)
"""Standardised uptake values shown as 0 and as 1 by the window `suv`."""

Preset = Literal[
    "header",
    "minmax",
    "ddad",
    "suv",
    "brain-shibata",
    "brain",
    "stroke",
    "subdural",
    "bone",
    "lung",
    "mediastinum",
    "abdomen",
    "liver",
]


class Bounds(Settings):
    """Values shown as 0 and as 1: those of the file, or with `unit: suv` standardised uptake values."""

    low: float
    high: float
    unit: Literal["file", "suv"] = "file"

    @model_serializer(mode="wrap")
    def _without_the_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The unit is told where it is not the file's, as in recipes of before there was another."""
        told: dict[str, Any] = handler(self)
        if self.unit == "file":
            told.pop("unit", None)
        return told

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must lie below high ({self.high:g})")
        return self


class Window(Settings):
    """clip((x − low) / (high − low), 0, 1), with the bounds given, named, or taken from the header.

    `header` applies the display window or lookup table of a DICOM header (PS3.3 C.11.2). A file without one
    is shown over the range of its integer type (0–255, 0–65535; 0 to 2^bits − 1 where the header says
    bits and the values keep to it, which 16-bit palettes do not), and a file of other numbers from its
    lowest to its highest value, as viewers do, with a remark that says so.

    `minmax` shows every image from its own lowest to its own highest value, padding apart, whatever the
    header says; a constant image becomes 0. A linear rescale (slope above 0) does not change the result, nor
    does the range in which MONOCHROME1 is turned round: any c − v gives (max v − v) / (max v − min v).

    `ddad` is the DICOM step of the DDAD repartition (Cai et al., MICCAI 2022): 8-bit values over 0–255 as
    they are, all others as `minmax`, cut down to 256 grey levels; no display window. The authors turn
    MONOCHROME1 round as max v − v. After `minmax` that equals the reader's turn; of 8-bit values the lowest
    is taken off, so that they are equal too. The authors take stored values and count padding in, so the
    result differs where a header declares padding, a modality table, a negative slope, or a rescale of 8-bit
    values. Their resize to 512 pixels in between is not repeated.

    `suv` shows a PET image in DICOM from an SUV of 0 to one of 10, and `{low: 0, high: 7, unit: suv}` between
    others. Values are multiplied by what the header says of dose, half-life, times and weight (see
    `images.dicom.suv`); an image whose header lacks one of them is refused.
    """

    window: Preset | Bounds

    def apply(self, picture: Picture) -> Picture:
        image = picture.image
        if isinstance(self.window, Bounds):
            factor = _suv_factor(image) if self.window.unit == "suv" else 1.0
            low, high = self.window.low / factor, self.window.high / factor
            return picture.with_values(_linear(picture.values, low, high))
        if self.window == "header":
            return _by_header(picture)
        if self.window == "minmax":
            return picture.with_values(_by_own_range(picture))
        if self.window == "ddad":
            return picture.with_values(_as_ddad(picture))
        if self.window == "suv":
            factor = _suv_factor(image)
            return picture.with_values(_linear(picture.values, SUV[0] / factor, SUV[1] / factor))
        if image.pixels.dtype == np.uint8:
            raise ImageError(
                image.source,
                f"is an 8-bit picture and holds no Hounsfield units, which window {self.window!r} needs",
                "use window: header for pictures",
            )
        return picture.with_values(_linear(picture.values, *CT_WINDOWS[self.window]))


def _suv_factor(image: Image) -> float:
    """What the image's values are multiplied by to be SUV. Raises ImageError where that is not known."""
    factor = image.header.get("suv_factor")
    if factor:
        return float(factor)
    why = image.header.get("suv_missing") or "it is no PET image in DICOM"
    raise ImageError(
        image.source,
        f"has no standardised uptake values, which window suv needs: {why}",
        "correct the header, or give the window as {low: , high: } in the image's own values",
    )


def _linear(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    shown = (values - values.dtype.type(low)) * values.dtype.type(1.0 / (high - low))
    return np.clip(shown, 0.0, 1.0, out=shown)


def _by_header(picture: Picture) -> Picture:
    voi = picture.image.voi
    if voi is not None and voi.table is not None:
        return picture.with_values(_by_table(picture.values, voi.table, voi.first))
    if voi is not None and voi.center is not None and voi.width is not None:
        return picture.with_values(_by_voi(picture.values, voi, picture.image.source))
    dtype = picture.image.pixels.dtype
    if dtype.kind == "b":
        return picture
    if dtype.kind == "u" and dtype.itemsize <= 2:
        bits = picture.image.header.get("bits", "")
        stated = int(bits) if bits.isdigit() else 0
        holds = stated >= 1 and float(picture.values.max()) <= 2**stated - 1
        depth = stated if holds else 8 * dtype.itemsize
        return picture.with_values(_linear(picture.values, 0.0, float(2**depth - 1)))
    low, high = float(picture.values.min()), float(picture.values.max())
    shown = _linear(picture.values, low, high) if high > low else np.zeros_like(picture.values)
    return picture.with_values(shown).with_remark(
        f"no display window in the header: shown from its lowest to its highest value ({low:g} to {high:g})"
    )


def _by_own_range(picture: Picture, dtype: type[np.floating] = np.float32) -> NDArray[np.floating]:
    low, high = float(picture.values.min()), float(picture.values.max())
    if not high > low:
        return np.zeros_like(picture.values)
    shifted = picture.shifted(low)
    shown = shifted.astype(np.promote_types(shifted.dtype, dtype), copy=False) / (high - low)
    return np.clip(shown, 0.0, 1.0, out=shown)


def _as_ddad(picture: Picture) -> NDArray[np.floating]:
    image = picture.image
    if image.pixels.dtype == np.uint8:
        turned = image.header.get("photometric") == "MONOCHROME1"
        lowest = float(picture.values.min()) if turned else 0.0
        return (picture.values - np.float32(lowest)) / np.float32(255.0)
    return np.floor(_by_own_range(picture, np.float64) * 255.0) / 255.0


def _by_table(values: NDArray[np.floating], table: NDArray[np.float32], first: float) -> NDArray[np.float32]:
    index = np.clip(np.rint(values - first), 0, len(table) - 1).astype(np.intp)
    top = float(table.max())
    return (table / top if top > 0 else np.zeros_like(table))[index].astype(np.float32)


def _by_voi(values: NDArray[np.floating], voi: Voi, source: str) -> NDArray[np.floating]:
    assert voi.center is not None
    assert voi.width is not None
    center, width = voi.center, voi.width
    if voi.function == "SIGMOID":
        if width <= 0:
            raise ImageError(source, f"window width is {width:g}", "give the window in the recipe")
        exponent = np.clip(-4.0 * (values - center) / width, -80.0, 80.0)
        return (1.0 / (1.0 + np.exp(exponent))).astype(np.float32)
    if voi.function == "LINEAR_EXACT":
        if width <= 0:
            raise ImageError(source, f"window width is {width:g}", "give the window in the recipe")
        return _linear(values, center - width / 2, center + width / 2)
    if voi.function != "LINEAR":
        raise ImageError(
            source, f"VOI LUT function {voi.function!r} is unknown", "give the window in the recipe"
        )
    if width < 1:
        raise ImageError(source, f"window width is {width:g}", "give the window in the recipe")
    if width == 1:
        return (values > center - 0.5).astype(np.float32)
    return _linear(values, center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)
