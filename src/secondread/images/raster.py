"""PNG, JPEG and TIFF pictures of 8 and 16 bits, grey or colour."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.image import Geometry, Image, ImageError
from secondread.images.jpeg_quality import jpeg_quality
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, digest_of

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_WHITE_IS_ZERO, _PALETTE, _PLANES_APART = 0, 3, 2
_TIFF_MODES = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}


def read_png(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A PNG of any bit depth; 16-bit colour keeps its 16 bits. Raises ImageError."""
    from PIL import PngImagePlugin

    if len(data) < 33 or data[12:16] != b"IHDR":
        raise ImageError(reference.text, "a PNG without a header chunk", "the file is damaged: copy it again")
    columns, rows, bits, kind = struct.unpack(">IIBB", data[16:26])
    limits.check_shape(reference.text, (rows, columns, {2: 3, 3: 3, 4: 2, 6: 4}.get(kind, 1)))
    header = {"format": "PNG", "bits": str(bits)}
    try:
        if bits == 16 and kind != 0:
            pixels = _png_16_bit_colour(data, kind)
            header["mode"] = {2: "RGB", 4: "LA", 6: "RGBA"}.get(kind, "RGB") + " 16 bit"
        else:
            with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
                header["mode"] = picture.mode
                pixels = _samples(picture)
    except Exception as error:
        raise _damaged(reference, "PNG", error) from error
    return _finish(reference, data, pixels, header)


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
            turned = b"Exif" in data[:64] and picture.getexif().get(0x0112, 1) != 1
            pixels = _samples(picture)
    except ImageError:
        raise
    except Exception as error:
        raise _damaged(reference, "JPEG", error) from error
    remarks = ("EXIF asks for a turned display; pixels are read as they are stored",) if turned else ()
    return _finish(reference, data, pixels, header, remarks)


def _samples(picture: Any) -> NDArray[Any]:
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


def read_tiff(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A TIFF of 8, 16 or 32 bits, integer or float, grey or colour.

    A file of several pages of one size is a volume `[pages, rows, columns]` without positions, which a remark
    says; `path#frame/N` is one page. Raises ImageError.
    """
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            pages = list(tiff.pages[:]) if len(tiff.pages) <= 100_000 else []
            numbers, pages = _chosen_pages(reference, pages)
            first: Any = pages[0]
            limits.check_shape(reference.text, (len(pages), *first.shape))
            header = {
                "format": "TIFF",
                "bits": str(first.bitspersample),
                "mode": _TIFF_MODES.get(int(first.photometric), "other"),
            }
            pixels = np.stack(
                [_tiff_page(page, data, index) for index, page in zip(numbers, pages, strict=True)]
            )
    except ImageError:
        raise
    except Exception as error:
        raise _damaged(reference, "TIFF", error) from error
    if len(pages) == 1:
        return _finish(reference, data, pixels[0], header)
    return _finish(reference, data, pixels, header, ("pages without positions: spacing is unknown",))


def _chosen_pages(reference: Reference, pages: list[Any]) -> tuple[list[int], list[Any]]:
    from secondread.images.source import member_number

    if not pages:
        raise ImageError(reference.text, "a TIFF without pages that can be read")
    if reference.member is not None:
        number = member_number(reference, "frame")
        if number >= len(pages):
            raise ImageError(reference.text, f"the file has pages 0 to {len(pages) - 1}")
        return [number], [pages[number]]
    if len({page.shape for page in pages}) > 1:
        raise ImageError(reference.text, f"{len(pages)} pages of different sizes", "choose one with #frame/N")
    return list(range(len(pages))), pages


def _tiff_page(page: Any, data: bytes, index: int) -> NDArray[Any]:
    """`[rows, columns, channels]` of one page."""
    try:
        pixels = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return _tiff_page_by_pillow(page, data, index)
    if page.photometric == _PALETTE:
        table = page.colormap
        pixels = (table >> 8).astype(np.uint8)[:, pixels] if table.max() > 255 else table[:, pixels]
        return np.moveaxis(pixels, 0, -1)
    if page.planarconfig == _PLANES_APART and page.samplesperpixel > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(page.imagelength, page.imagewidth, -1)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if page.photometric == _WHITE_IS_ZERO and np.issubdtype(pixels.dtype, np.integer):
        pixels = ~pixels
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _tiff_page_by_pillow(page: Any, data: bytes, index: int) -> NDArray[Any]:
    """A page in a compression (LZW, JPEG) that tifffile leaves to an optional package."""
    from PIL import TiffImagePlugin

    if page.bitspersample == 16 and page.samplesperpixel > 1:
        raise ValueError("16-bit colour in this compression; save it with deflate or none")
    with TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as picture:
        picture.seek(index)
        pixels = _samples(picture)
    if page.photometric == _WHITE_IS_ZERO and page.bitspersample == 16:
        pixels = ~pixels
    return pixels


def _finish(
    reference: Reference,
    data: bytes,
    pixels: NDArray[Any],
    header: dict[str, str],
    remarks: tuple[str, ...] = (),
) -> Image:
    if reference.member is not None and header["format"] != "TIFF":
        raise ImageError(reference.text, f"'#{reference.member}': a {header['format']} has no members")
    if pixels.shape[-1] > 4:
        raise ImageError(reference.text, f"{pixels.shape[-1]} channels", "grey or RGB, with or without alpha")
    pixels = channels_first(pixels, header)
    refuse_non_finite(reference.text, pixels)
    header["rows"], header["columns"] = str(pixels.shape[-2]), str(pixels.shape[-1])
    header["file_bytes"] = str(len(data))
    return Image(pixels, Geometry(remarks=remarks), reference.text, digest_of(data), header=header)


def _damaged(reference: Reference, format_name: str, error: Exception) -> ImageError:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return ImageError(
        reference.text, f"a {format_name} that cannot be decoded ({said})", "copy or export it again"
    )
