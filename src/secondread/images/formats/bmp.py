"""BMP pictures: a palette, grey or colour of 8 bits a channel, plain or run-length encoded."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.raster import damaged, finish, samples_of
from secondread.images.image import Damaged, Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference

_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_ENCODED = (1, 2)
_SAMPLES = {1: "P;1", 4: "P;4", 8: "P"}


def is_bmp(start: bytes) -> bool:
    """Whether a file's first bytes are a BMP's: its magic, and a header of one of the known lengths."""
    return start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _HEADERS


def bmp_size(start: bytes) -> tuple[int, int, int]:
    """Rows, columns and bits of a pixel, from a file's first 30 bytes. Raises ValueError."""
    if len(start) < 30:
        raise Damaged("no header")
    if int.from_bytes(start[14:18], "little") == 12:
        columns, rows, _, bits = struct.unpack("<HHHH", start[18:26])
    else:
        columns, rows, _, bits = struct.unpack("<iiHH", start[18:30])
    if columns < 1 or rows == 0:
        raise Damaged("a header without rows or columns")
    return abs(rows), columns, bits


def read_bmp(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A BMP as it is shown, its first row on top. Alpha that is 0 everywhere was never set, and is ignored.
    Raises ImageError."""
    from PIL import BmpImagePlugin

    try:
        rows, columns, bits = bmp_size(data)
        limits.check_shape(reference.text, (rows, columns, 1 if bits <= 8 else 4))
        with BmpImagePlugin.BmpImageFile(io.BytesIO(data)) as picture:
            if picture.size != (columns, rows):
                raise Damaged("rows and columns that cannot be told")
            header = {"format": "BMP", "bits": "8", "mode": picture.mode}
            pixels = _samples(picture, bits)
    except ImageError:
        raise
    except Exception as error:
        raise damaged(reference, "BMP", error) from error
    if pixels.shape[-1] == 4 and not pixels[..., 3].any():
        pixels = pixels[..., :3]
    return finish(reference, data, pixels, header)


def _samples(picture: Any, bits: int) -> NDArray[Any]:
    """`[rows, columns, channels]`. Pillow takes a palette of greys for one bit or one byte a pixel, whatever
    the pixels have."""
    grey = picture.mode in ("1", "L") and picture.info["compression"] not in _ENCODED
    if not grey or bits == {"1": 1, "L": 8}[picture.mode]:
        return samples_of(picture)
    full = 255 if picture.mode == "1" else 1
    picture._mode = "P"
    picture.tile = [tile._replace(args=(_SAMPLES[bits], *tile.args[1:])) for tile in picture.tile]
    return np.asarray(picture)[..., np.newaxis] * np.uint8(full)
