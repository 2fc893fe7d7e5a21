"""TIFF pictures of 8, 16 and 32 bits, grey or colour, of one page or several."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.raster import damaged, finish, samples_of
from secondread.images.formats.tiff_segments import check_segments
from secondread.images.image import Damaged, Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, member_number
from secondread.images.turn import ORIENTATION_TAG, Turn, turn_of

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_MODES = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
_UNPACKED_HERE = (1, 8, 32773, 32946)
_OLD_JPEG, _JPEG, _FAX = 6, 7, (2, 3, 4)
_UNPACKED_BY_PILLOW = (1, 5, 7, 8, 32773, 32946, 34925, 50000)
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2
_MOST_PAGES = 100_000


def read_tiff(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A TIFF of 8, 16 or 32 bits, integer or float, grey or colour.

    A file of several pages of one size is a volume `[pages, rows, columns]` without positions, which a remark
    says, and so is a page with a depth; `path#frame/N` is one page. Raises ImageError.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong stands in the error, once
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            count = len(tiff.pages) if len(tiff.pages) <= _MOST_PAGES else 0
            _refuse_hidden_planes(reference, tiff, count)
            numbers, pages = _chosen_pages(reference, tiff, count)
            first: Any = pages[0]
            limits.check_shape(reference.text, (len(pages), *first.shape))
            turn = _turn(first)
            for page in pages:
                _check_kind(page)
                check_segments(page, data)
            header = {
                "format": "TIFF",
                "bits": str(first.bitspersample),
                "mode": _MODES[int(first.photometric)],
            }
            if _ASSOCIATED_ALPHA in first.extrasamples:
                header["alpha"] = "composited on black"
            pixels = np.stack([_page(page, data, n) for n, page in zip(numbers, pages, strict=True)])
    except ImageError:
        raise
    except Exception as error:
        raise damaged(reference, "TIFF", error) from error
    depth = pixels.shape[1]
    pixels = pixels.reshape(-1, *pixels.shape[2:])
    if len(pixels) == 1:
        return finish(reference, data, pixels[0], header, turn)
    what = "pages" if depth == 1 else "planes"
    return finish(reference, data, pixels, header, turn, (f"{what} without positions: spacing is unknown",))


def _chosen_pages(reference: Reference, tiff: Any, count: int) -> tuple[list[int], list[Any]]:
    if not count:
        raise ImageError(reference.text, "a TIFF without pages that can be read")
    if reference.member is not None:
        number = member_number(reference, "frame")
        if number >= count:
            raise ImageError(reference.text, f"the file has pages 0 to {count - 1}")
        return [number], [tiff.pages[number]]
    pages = list(tiff.pages[:])
    if len({page.shape for page in pages}) > 1:
        raise ImageError(reference.text, f"{len(pages)} pages of different sizes", "choose one with #frame/N")
    if len({(page.photometric, page.dtype, _turn(page)) for page in pages}) > 1:
        raise ImageError(reference.text, f"{len(pages)} pages of different kinds", "choose one with #frame/N")
    return list(range(len(pages))), pages


def _refuse_hidden_planes(reference: Reference, tiff: Any, pages: int) -> None:
    """ImageJ and tifffile can keep many planes behind one page, which alone is part of the picture."""
    if pages != 1 or not (tiff.is_imagej or tiff.is_shaped):
        return
    planes = max((int(series.size) for series in tiff.series), default=0)
    if planes > int(tiff.pages[0].size):
        raise ImageError(
            reference.text,
            "several planes behind one page, as ImageJ keeps them",
            "save it with one page for each plane",
        )


def _turn(page: Any) -> Turn | None:
    tag = page.tags.get(ORIENTATION_TAG)
    return None if tag is None else turn_of(int(tag.value))


def _check_kind(page: Any) -> None:
    """Raise ValueError for pages whose samples are no grey or colour values that can be told."""
    photometric, count = int(page.photometric), int(page.samplesperpixel)
    if photometric not in _COLOURS:
        raise Damaged(f"photometric {page.photometric!s}; save it as grey or RGB")
    if page.dtype is None or page.dtype.kind not in "buif":
        raise Damaged(f"samples of type {page.dtype or 'unknown'}; save it as integers or floats")
    if page.compression == _OLD_JPEG or (photometric == _YCBCR and page.compression != _JPEG):
        raise Damaged("YCbCr outside of JPEG; save it as RGB")
    if int(page.compression) in _FAX:
        raise Damaged("fax compression, of which a damaged part cannot be told; save it with LZW or deflate")
    extra = count - _COLOURS[photometric]
    kinds = [int(kind) for kind in page.extrasamples]
    if extra < 0 or extra > 1 or (extra and kinds not in ([_ASSOCIATED_ALPHA], [_UNASSOCIATED_ALPHA])):
        raise Damaged(
            f"{count} samples per pixel, {max(extra, 0)} of which are neither colour nor alpha; "
            "save it as grey or RGB, with or without alpha"
        )
    if photometric in (_PALETTE, _CMYK) and extra:
        raise Damaged(f"{_MODES[photometric]} with alpha; save it as RGB")
    if photometric == _CMYK and page.dtype.kind != "u":
        raise Damaged(f"CMYK of type {page.dtype}; save it as RGB")


def _page(page: Any, data: bytes, index: int) -> NDArray[Any]:
    """`[depth, rows, columns, channels]` of one page, as stored but for its colours."""
    pixels = None
    if int(page.compression) in _UNPACKED_HERE:
        try:
            pixels = page.asarray()
        except Exception as error:
            if "imagecodecs" not in str(error):
                raise
    if pixels is None:
        return _page_by_pillow(page, data, index)
    pixels = np.moveaxis(pixels.reshape(page.shaped), 0, -2)
    pixels = pixels.reshape(*pixels.shape[:3], -1)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return _without_multiplied_alpha(page, _coloured(page, pixels))


def _coloured(page: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    """Higher = brighter; a palette and CMYK as RGB."""
    if page.photometric == _PALETTE:
        table = page.colormap
        table = (table >> 8).astype(np.uint8) if table.max() > 255 else table.astype(np.uint8)
        if int(pixels.max()) >= table.shape[1]:
            raise Damaged("a pixel that is not in the palette")
        return np.moveaxis(table[:, pixels[..., 0]], 0, -1)
    if page.photometric == _CMYK:
        full = np.iinfo(pixels.dtype).max
        light = (full - pixels).astype(np.float64)
        return np.rint(light[..., :3] * light[..., 3:] / full).astype(pixels.dtype)
    if page.photometric == _WHITE_IS_ZERO:
        pixels = _turned_round(pixels, int(page.bitspersample), int(page.samplesperpixel) > 1)
    return pixels.astype(np.uint8) * 255 if pixels.dtype == np.bool_ else pixels


def _turned_round(pixels: NDArray[Any], bits: int, alpha: bool) -> NDArray[Any]:
    """Grey v as lowest + highest − v: of the integers that the bits can hold, or of the floats present."""
    grey = pixels[..., :1]
    if pixels.dtype.kind == "u":
        turned = pixels.dtype.type(2**bits - 1) - grey
    elif pixels.dtype.kind == "f":
        finite = grey[np.isfinite(grey)]
        turned = (finite.min() + finite.max() - grey) if finite.size else grey
    else:
        turned = ~grey
    return np.concatenate([turned, pixels[..., 1:]], axis=-1) if alpha else turned


def _without_multiplied_alpha(page: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    """Colour that is already multiplied by its alpha is what compositing on black gives."""
    return pixels[..., :-1] if _ASSOCIATED_ALPHA in page.extrasamples else pixels


def _page_by_pillow(page: Any, data: bytes, index: int) -> NDArray[Any]:
    """A page in a compression (LZW, JPEG) or of a width that tifffile leaves to an optional package."""
    from PIL import TiffImagePlugin

    bits, kind = int(page.bitspersample), page.dtype.kind
    name = getattr(page.compression, "name", str(page.compression))
    if int(page.compression) not in _UNPACKED_BY_PILLOW:
        raise Damaged(f"compression {name}; save it with LZW, deflate or none")
    little = page.parent.byteorder == "<"
    rightly = (
        (bits <= 8 and kind in "ub")
        or (bits == 16 and (kind == "u" or (kind == "i" and little)))
        or (bits == 32 and little)
    )
    several = int(page.samplesperpixel) > 1 and bits > 8
    if not rightly or several or int(page.shaped[1]) > 1 or _ASSOCIATED_ALPHA in page.extrasamples:
        raise Damaged(
            f"numbers of type {page.dtype}, depth, multiplied alpha or colour above 8 bits in {name}; "
            "save it with deflate or none"
        )
    with TiffImagePlugin.TiffImageFile(io.BytesIO(_as_stored(page, data))) as picture:
        picture.seek(index)
        pixels = samples_of(picture)
    if kind == "u" and pixels.dtype == np.int32 and bits == 32:
        pixels = pixels.view(np.uint32)
    if page.photometric == _WHITE_IS_ZERO and bits > 8:
        pixels = _turned_round(pixels, bits, False)
    return pixels[np.newaxis]


def _as_stored(page: Any, data: bytes) -> bytes:
    """The file with this page's turn taken out, because Pillow would turn the page by itself."""
    tag = page.tags.get(ORIENTATION_TAG)
    if tag is None or tag.value == 1:
        return data
    untouched = bytearray(data)
    width = 2 if tag.dtype == 3 else 4
    as_stored = (1).to_bytes(width, "little" if page.parent.byteorder == "<" else "big")
    untouched[tag.valueoffset : tag.valueoffset + width] = as_stored
    return bytes(untouched)
