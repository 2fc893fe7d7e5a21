"""A file's voxels, unpacked no further than the header says."""

from __future__ import annotations

import bz2
import zlib
from typing import Literal

from secondread.images.formats.gzipped import gunzip
from secondread.images.image import ImageError
from secondread.images.limits import LARGEST_DEFLATE_RATIO

Packing = Literal["raw", "gzip", "zlib", "bzip2"]
_BEYOND = 1 << 16
"""How far a stream is followed behind what is asked for, to its end and its check sum."""


def voxel_bytes(
    path: str, data: bytes | memoryview, packing: Packing, first: int, length: int
) -> bytes | memoryview:
    """`length` bytes from byte `first` on of what is packed in `data`, unpacking no more than that.

    A stream that ends there is followed to its end and its check sum. Raises ImageError where it is damaged
    or too short.
    """
    if packing == "raw":
        found = memoryview(data)[first : first + length]
    else:
        try:
            unpacked, problem = _unpacked(data, packing, first + length)
        except (zlib.error, OSError) as error:
            why = " (a wrong check sum)" if "data check" in str(error) else ""
            raise ImageError(path, f"the {packing} stream is damaged{why}", "copy it again") from error
        if problem and len(unpacked) == first + length:
            raise ImageError(path, f"the {packing} stream is damaged ({problem})", "copy it again")
        found = memoryview(unpacked)[first:]
    if len(found) < length:
        raise ImageError(path, f"truncated: {len(found):,} of {length:,} bytes of voxels", "copy it again")
    return found


def room_for(packing: Packing, count: int) -> int | None:
    """How many bytes `count` bytes can unpack to at most; None where that is not known."""
    if packing == "raw":
        return count
    return None if packing == "bzip2" else count * LARGEST_DEFLATE_RATIO


def _unpacked(data: bytes | memoryview, packing: Packing, count: int) -> tuple[bytes, str]:
    if packing == "gzip":
        return gunzip(bytes(data), count)
    if packing == "zlib":
        return _inflated(data, count)
    return _from_bzip2(data, count)


def _inflated(data: bytes | memoryview, count: int) -> tuple[bytes, str]:
    """One zlib stream; MetaIO also takes one of gzip."""
    inflater = zlib.decompressobj(wbits=47)
    unpacked = inflater.decompress(data, count) if count else b""
    if inflater.eof:
        return unpacked, ""
    try:
        beyond = len(inflater.decompress(inflater.unconsumed_tail, _BEYOND))
    except zlib.error as error:
        return unpacked, "a wrong check sum" if "data check" in str(error) else "damage in its last part"
    return unpacked, "" if inflater.eof or beyond == _BEYOND else "it has no end"


def _from_bzip2(data: bytes | memoryview, count: int) -> tuple[bytes, str]:
    parts: list[bytes] = []
    problem = ""
    left = bytes(data)
    while left[:3] == b"BZh" and count > 0:
        unpacker = bz2.BZ2Decompressor()
        parts.append(unpacker.decompress(left, count))
        count -= len(parts[-1])
        if not unpacker.eof:
            try:
                beyond = len(unpacker.decompress(b"", _BEYOND))
            except OSError:
                problem = "damage in its last part"
            else:
                problem = "" if unpacker.eof or beyond == _BEYOND else "it has no end"
        left = unpacker.unused_data
    return b"".join(parts), problem
