"""PNG and JPEG pictures of 8 and 16 bits, grey or colour."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.formats.jpeg_quality import jpeg_quality
from secondread.images.formats.jpeg_scan import check_jpeg
from secondread.images.formats.png_stream import check_png, png_header
from secondread.images.image import Damaged, Geometry, Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, digest_of
from secondread.images.turn import Turn, turn_asked_by

JPEG_MAGIC = b"\xff\xd8\xff"


def read_png(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A PNG of any bit depth; 16-bit colour keeps its 16 bits. Raises ImageError."""
    from PIL import PngImagePlugin

    try:
        stated = png_header(data)
    except ValueError as error:
        raise damaged(reference, "PNG", error) from error
    channels = 3 if stated.colour == 3 else stated.samples
    limits.check_shape(reference.text, (stated.rows, stated.columns, channels))
    header = {"format": "PNG", "bits": str(stated.bits)}
    try:
        check_png(data, stated)
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
            if stated.bits == 16 and stated.colour != 0:
                pixels = _png_16_bit_colour(data, stated.colour)
                header["mode"] = {2: "RGB", 4: "LA", 6: "RGBA"}[stated.colour] + " 16 bit"
            else:
                header["mode"] = picture.mode
                pixels = samples_of(picture)
            turn = turn_asked_by(picture)
    except Exception as error:
        raise damaged(reference, "PNG", error) from error
    return finish(reference, data, pixels, header, turn)


def read_jpeg(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A JPEG at full resolution, `header["jpeg_quality"]` from its tables. Raises ImageError."""
    from PIL import JpegImagePlugin

    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as picture:
            limits.check_shape(reference.text, (picture.height, picture.width, len(picture.getbands())))
            header = {"format": "JPEG", "bits": "8", "mode": picture.mode}
            quality = jpeg_quality(getattr(picture, "quantization", {}))
            if quality is not None:
                header["jpeg_quality"] = str(quality)
            turn = turn_asked_by(picture)
            check_jpeg(data)
            pixels = samples_of(picture)
    except ImageError:
        raise
    except Exception as error:
        raise damaged(reference, "JPEG", error) from error
    return finish(reference, data, pixels, header, turn)


def samples_of(picture: Any) -> NDArray[Any]:
    """What a PIL picture holds, as `[rows, columns, channels]`."""
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode in ("CMYK", "YCbCr", "LAB", "HSV", "PA", "La", "RGBa"):
        picture = picture.convert("RGBA" if picture.mode in ("PA", "La", "RGBa") else "RGB")
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _png_16_bit_colour(data: bytes, kind: int) -> NDArray[Any]:
    """16-bit colour from a decoder that keeps only 8: high and low bytes are unpacked one after the other.

    Pillow unpacks a big-endian sample by its first byte and a little-endian one by its second. Grey with
    alpha is four bytes a pixel and unpacks as if it were 8-bit RGBA.
    """
    if kind == 4:
        planes = _png_unpacked(data, "RGBA", "RGBA").astype(np.uint16)
        return (planes[..., 0::2] << 8) | planes[..., 1::2]
    mode = {2: "RGB", 6: "RGBA"}[kind]
    high = _png_unpacked(data, mode, f"{mode};16B").astype(np.uint16)
    high <<= 8
    high |= _png_unpacked(data, mode, f"{mode};16L")
    return high


def _png_unpacked(data: bytes, mode: str, layout: str) -> NDArray[Any]:
    from PIL import PngImagePlugin

    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
        picture._mode = mode
        picture.tile = [tile._replace(args=layout) for tile in picture.tile]
        return np.asarray(picture)


def finish(
    reference: Reference,
    data: bytes,
    pixels: NDArray[Any],
    header: dict[str, str],
    turn: Turn | None = None,
    remarks: tuple[str, ...] = (),
) -> Image:
    """The image of stored pixels `[rows, columns, channels]` or `[pages, rows, columns, channels]`, turned as
    it is shown, with the way back to the file's own rows and columns. Raises ImageError.
    """
    if reference.member is not None and header["format"] != "TIFF":
        raise ImageError(reference.text, f"'#{reference.member}': a {header['format']} has no members")
    if pixels.shape[-1] > 4:
        raise ImageError(reference.text, f"{pixels.shape[-1]} channels", "grey or RGB, with or without alpha")
    pixels = channels_first(pixels, header)
    refuse_non_finite(reference.text, pixels)
    geometry = Geometry(remarks=remarks)
    if turn is not None:
        pixels = np.ascontiguousarray(turn.apply(pixels))
        geometry = turn.geometry(pixels.ndim - 1, remarks)
    header["rows"], header["columns"] = str(pixels.shape[-2]), str(pixels.shape[-1])
    header["file_bytes"] = str(len(data))
    return Image(pixels, geometry, reference.text, digest_of(data), header=header)


def damaged(reference: Reference, format_name: str, error: Exception) -> ImageError:
    """The error for a picture whose data a decoder refuses; only our own words say why."""
    said = str(error) if isinstance(error, Damaged) else "cut, damaged, or not what it says of itself"
    return ImageError(
        reference.text, f"a {format_name} that cannot be decoded ({said})", "copy or export it again"
    )
