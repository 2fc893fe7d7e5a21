"""Whether a TIFF page's strips or tiles hold the whole picture.

Decoders fill strips that are missing, empty or too short with zeros; here each is looked at before.
"""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any

from secondread.images.formats.jpeg_scan import check_jpeg
from secondread.images.image import Damaged
from secondread.images.limits import LARGEST_DEFLATE_RATIO

_NONE, _JPEG, _PACKBITS = 1, 7, 32773
_DEFLATE = (8, 32946)
_JPEG_TABLES, _HEADER_BYTES, _SLACK_BYTES = 347, 8, 64


def check_segments(page: Any, data: bytes) -> None:
    """Raise ValueError where part of a page (of tifffile) is not in the file.

    Every strip or tile must be named, lie within the file, share no byte with another, and hold as many bytes
    as its share of the picture; packed ones are unpacked to see (LZW and the rest are left to libtiff, which
    counts for itself).
    """
    offsets, counts = list(page.dataoffsets), list(page.databytecounts)
    sizes = _segment_bytes(page)
    what = "tiles" if page.is_tiled else "strips"
    if len(offsets) < len(sizes) or len(counts) < len(sizes):
        raise Damaged(f"{min(len(offsets), len(counts))} of {len(sizes)} {what} are named")
    offsets, counts = offsets[: len(sizes)], counts[: len(sizes)]
    empty = sum(offset < _HEADER_BYTES or count < 1 for offset, count in zip(offsets, counts, strict=True))
    if empty:
        raise Damaged(f"{empty} of {len(sizes)} {what} are empty")
    beyond = sum(offset + count > len(data) for offset, count in zip(offsets, counts, strict=True))
    if beyond:
        raise Damaged(f"{beyond} of {len(sizes)} {what} reach beyond the file's end")
    places = sorted(zip(offsets, counts, strict=True))
    for (offset, count), (following, _) in pairwise(places):
        if following < offset + count:
            raise Damaged(f"{what} that overlap")
    tables = page.tags.get(_JPEG_TABLES)
    for number, (offset, count, size) in enumerate(zip(offsets, counts, sizes, strict=True)):
        segment = data[offset : offset + count]
        if page.compression == _JPEG:
            check_jpeg(segment, b"" if tables is None else bytes(tables.value), most_pixels=4 * size + 256)
            continue
        found = _unpacked_bytes(int(page.compression), segment, size, max(sizes))
        if found is not None and found < size:
            raise Damaged(f"{what[:-1]} {number + 1} of {len(sizes)} holds {found:,} of {size:,} bytes")


def _segment_bytes(page: Any) -> list[int]:
    """Unpacked bytes of each strip or tile, in the file's order."""
    planes, depth, rows, columns, samples = (int(n) for n in page.shaped)
    bits = int(page.bitspersample) * samples
    if page.is_tiled:
        tile_rows, tile_columns = int(page.tilelength), int(page.tilewidth)
        tile_depth = max(1, int(page.tiledepth))
        each = tile_depth * tile_rows * ((tile_columns * bits + 7) // 8)
        across = -(-depth // tile_depth) * -(-rows // tile_rows) * -(-columns // tile_columns)
        return [each] * (planes * across)
    row = (columns * bits + 7) // 8
    strip_rows = min(max(1, int(page.rowsperstrip)), rows)
    whole, rest = divmod(rows, strip_rows)
    strips = [strip_rows * row] * whole + ([rest * row] if rest else [])
    return strips * (planes * depth)


def _unpacked_bytes(compression: int, segment: bytes, size: int, largest: int) -> int | None:
    """How many bytes a segment unpacks to; None where it is not known here. The last strip may be as long as
    the `largest`, although the picture ends within it.
    """
    if compression == _NONE:
        return len(segment)
    if compression in _DEFLATE:
        if len(segment) * LARGEST_DEFLATE_RATIO < size:
            return len(segment) * LARGEST_DEFLATE_RATIO
        inflater = zlib.decompressobj()
        found = len(inflater.decompress(segment, largest + _SLACK_BYTES))
        if found >= size and not inflater.eof:
            raise Damaged("compressed data without an end")
        return found
    return _packbits_bytes(segment) if compression == _PACKBITS else None


def _packbits_bytes(segment: bytes) -> int:
    """Bytes that PackBits (TIFF 6.0, section 9) unpacks to."""
    at = found = 0
    while at < len(segment):
        control = segment[at]
        if control < 128:
            found += min(control + 1, len(segment) - at - 1)
            at += control + 2
        else:
            found += 257 - control if control > 128 and at + 1 < len(segment) else 0
            at += 2 if control > 128 else 1
    return found
