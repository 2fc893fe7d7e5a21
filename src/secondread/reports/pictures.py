"""Small pictures of images and their heat maps, made in worker processes, as data for a page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from secondread.drawing.palette import HEAT
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed
from secondread.images.write import map_on
from secondread.readings.display import display

EDGE = 160
THUMBNAIL = 96
"""Longest sides in pixels."""
STRONGEST = 0.62
"""Opacity of full heat."""
_DATA_URI = re.compile(r"(data:image/(webp|jpeg);base64,[A-Za-z0-9+/=]+)?")


@dataclass(frozen=True)
class Wanted:
    """What to draw.

    scale      (low, high): the map values of no heat and full heat, equal for all
    thumbnail  also a smaller picture, from the same reading of the file
    """

    reference: str
    map: str | None = None
    scale: tuple[float, float] | None = None
    thumbnail: bool = False


@dataclass(frozen=True)
class Drawn:
    """Data URIs of the picture, of its heat layer (transparent where cold) and of its thumbnail, or why
    there is none."""

    picture: str = ""
    heat: str = ""
    thumbnail: str = ""
    note: str = ""
    reason: str = ""


def draw_pictures(wanted: Sequence[Wanted], *, workers: int, timeout_s: float = 60.0) -> list[Drawn]:
    """One picture for each, in order. A file that cannot be read gives its reason, never an exception."""
    results = map_in_workers(draw_picture, wanted, workers=workers, timeout_s=timeout_s)
    return [Drawn(reason=str(r.error)) if isinstance(r, Failed) else believed(r.value) for r in results]


def believed(drawn: Drawn) -> Drawn:
    """What a worker drew, where it is pictures and nothing else: it stands in a page that a browser runs."""
    if all(_DATA_URI.fullmatch(data) for data in (drawn.picture, drawn.heat, drawn.thumbnail)):
        return drawn
    return Drawn(reason="its decoding process sent no picture")


def draw_picture(wanted: Wanted) -> Drawn:
    """The image in grey or colour, and its heat. Volumes give the slice with the most heat, or the middle."""
    image = read_image(wanted.reference)
    shown = display(image)
    heat: NDArray[np.float32] | None = None
    note = ""
    if wanted.map is not None and wanted.scale is not None:
        try:
            read = read_image(wanted.map)
        except ImageError as error:
            note = f"map not read: {error.problem}"
        else:
            heat = map_on(read, image)
            if heat is None:
                note = f"map of size {read.size} on an image of size {image.size}"
    spacing = image.geometry.spacing
    if shown.ndim == 4:
        number = shown.shape[1] // 2 if heat is None else int(np.argmax(heat.max(axis=(1, 2))))
        note = note or f"slice {number + 1} of {shown.shape[1]}"
        shown, heat = shown[:, number], None if heat is None else heat[number]
        spacing = None if spacing is None else spacing[1:]
    whole, size = _as_pillow(shown), fitted(shown.shape[1:], spacing)
    layer = None if heat is None or wanted.scale is None else _heat_layer(heat, wanted.scale, size)
    return Drawn(
        picture=_webp(_resized(whole, size), quality=72),
        heat="" if layer is None else _webp(layer, quality=60),
        thumbnail=_jpeg(_resized(whole, fitted(shown.shape[1:], spacing, THUMBNAIL)))
        if wanted.thumbnail
        else "",
        note=note,
    )


def fitted(size: tuple[int, ...], spacing: tuple[float, ...] | None, edge: int = EDGE) -> tuple[int, int]:
    """(width, height) with the longest side `edge`, in the patient's proportions where spacing is known."""
    height, width = (s * d for s, d in zip(size, spacing or (1.0, 1.0), strict=True))
    scale = edge / max(height, width)
    return max(8, round(width * scale)), max(8, round(height * scale))


def _as_pillow(pixels: NDArray[np.uint8]) -> Pillow.Image:
    return Pillow.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))


def _resized(picture: Pillow.Image, size: tuple[int, int]) -> Pillow.Image:
    return picture.resize(
        size, Pillow.Resampling.LANCZOS if picture.width > size[0] else Pillow.Resampling.BICUBIC
    )


def _heat_layer(heat: NDArray[np.float32], scale: tuple[float, float], size: tuple[int, int]) -> Pillow.Image:
    low, high = scale
    small = np.asarray(Pillow.fromarray(heat).resize(size, Pillow.Resampling.BOX), np.float32)
    amount = np.clip((np.nan_to_num(small) - low) / max(high - low, 1e-12), 0, 1)
    stops = np.linspace(0, 1, len(HEAT))
    layers = [np.interp(amount, stops, [colour[channel] for colour in HEAT]) for channel in range(3)]
    layers.append(255 * STRONGEST * amount**0.75)
    return Pillow.fromarray(np.stack(layers, axis=-1).round().astype(np.uint8), "RGBA")


def _webp(picture: Pillow.Image, quality: int) -> str:
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=quality, method=4)
    return _data_uri("webp", written)


def _jpeg(picture: Pillow.Image) -> str:
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=72, optimize=True)
    return _data_uri("jpeg", written)


def _data_uri(kind: str, written: io.BytesIO) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(written.getvalue()).decode("ascii")
