"""Images as a browser takes them: exact values for the viewers, a picture for where no script runs."""

from __future__ import annotations

import gzip
import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from secondread.images.image import Geometry, Image
from secondread.images.write import write_nifti
from secondread.readings.maps import hottest_slice, mix
from secondread.service.page.study.opened import Opened

EXACT = ("uint8", "int16", "uint16", "float32")
"""What a viewer's arrays can be; other types become float32."""
LONGEST = 512
"""Pixels of a picture's longer side."""


def exact(pixels: NDArray[Any]) -> NDArray[Any]:
    """In a type that browsers have, little-endian, without loss where there is one."""
    if pixels.dtype.name in EXACT:
        return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    if pixels.dtype.kind in "biu" and pixels.size:
        low, high = int(pixels.min()), int(pixels.max())
        for name in ("uint8", "int16", "uint16"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return pixels.astype(f"<{np.dtype(name).str[1:]}")
    return pixels.astype("<f4")


def window_of(image: Image) -> tuple[float, float]:
    """Centre and width: the header's, or what shows all but the outermost two hundredths."""
    voi = image.voi
    if voi is not None and voi.center is not None and voi.width is not None and voi.table is None:
        return float(voi.center), max(float(voi.width), 1e-6)
    finite = (
        image.pixels[np.isfinite(image.pixels)]
        if image.pixels.dtype.kind == "f"
        else image.pixels.reshape(-1)
    )
    if not finite.size:
        return 0.5, 1.0
    sample = finite[:: max(1, finite.size // 200_000)]
    low, high = (float(value) for value in np.percentile(sample, [1, 99]))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return (low + high) / 2, max(high - low, 1e-6)


def described(opened: Opened) -> dict[str, Any]:
    """What a viewer has to know before it asks for values."""
    image = opened.image
    center, width = window_of(image)
    values = exact(image.pixels)
    return {
        "rank": image.rank,
        "size": list(image.size),
        "channels": int(image.pixels.shape[0]),
        "type": values.dtype.name,
        "low": _finite(np.nanmin(values)),
        "high": _finite(np.nanmax(values)),
        "window": {"center": center, "width": width},
        "spacing": None if image.geometry.spacing is None else list(image.geometry.spacing),
        "map": None if opened.map is None else {"low": opened.scale[0], "high": opened.scale[1]},
        "hottest": None if opened.map is None else _hottest(opened),
    }


def _finite(value: Any) -> float:
    return float(value) if math.isfinite(float(value)) else 0.0


def _hottest(opened: Opened) -> list[float]:
    """Where the map is highest, as shares of each axis."""
    assert opened.map is not None
    at = np.unravel_index(int(np.argmax(opened.map)), opened.map.shape)
    return [float(index) / max(1, length - 1) for index, length in zip(at, opened.map.shape, strict=True)]


def raw_pixels(opened: Opened) -> bytes:
    """Row by row; the channels of a colour beside one another."""
    values = exact(opened.image.pixels)
    return np.ascontiguousarray(np.moveaxis(values, 0, -1)).tobytes()


def raw_map(opened: Opened) -> bytes | None:
    return None if opened.map is None else np.ascontiguousarray(opened.map, "<f4").tobytes()


def nifti(values: NDArray[Any], geometry: Geometry) -> bytes:
    """A volume or its map as `.nii.gz`, both on the file's grid."""
    out = BytesIO()
    write_nifti(out, geometry.to_file_axes(values), geometry)
    return out.getvalue()


def picture(opened: Opened, *, with_map: bool) -> bytes:
    """A PNG in the header's window, of a volume the slice where the map is highest, else the middle one."""
    image = opened.image
    grey: NDArray[Any] = image.pixels.astype(np.float32)
    heat = opened.map
    if image.rank == 3:
        if heat is None:
            number = image.size[0] // 2
            grey = grey[:, number]
        else:
            grey, heat = (
                np.stack([hottest_slice(heat, channel)[1] for channel in grey]),
                hottest_slice(heat, grey[0])[0],
            )
    step = max(1, math.ceil(max(grey.shape[1:]) / LONGEST))
    grey = grey[:, ::step, ::step]
    center, width = window_of(image)
    shown = np.clip((np.nan_to_num(grey) - (center - width / 2)) * (255 / width), 0, 255)
    shown = shown[:3] if len(shown) >= 3 else shown[:1]
    if with_map and heat is not None:
        mixed = mix(shown.astype(np.float32), heat[::step, ::step], opened.scale)
    else:
        mixed = np.moveaxis(np.broadcast_to(shown, (3, *shown.shape[1:])), 0, -1).astype(np.uint8)
    out = BytesIO()
    Picture.fromarray(np.ascontiguousarray(mixed)).save(out, "PNG", compress_level=3)
    return out.getvalue()


def squeezed(data: bytes) -> bytes:
    return gzip.compress(data, 1)
