"""What a PNG's chunks hold: whether the compressed data are the whole picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import IO

from secondread.images.image import Damaged
from secondread.images.limits import LARGEST_DEFLATE_RATIO

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
_TEXTS, _TEXTS_WITH_A_TURN = (b"tEXt", b"zTXt", b"iTXt"), (b"Raw profile type ", b"XML:com.adobe.xmp")
_PIECE = 1 << 20


@dataclass(frozen=True)
class PngHeader:
    """A PNG's header chunk: size in pixels, bits of a sample, colour type (3 = palette), interlacing."""

    rows: int
    columns: int
    bits: int
    colour: int
    interlaced: bool

    @property
    def samples(self) -> int:
        """Stored samples of a pixel (1 for a palette)."""
        return _SAMPLES[self.colour]

    @property
    def bytes_of_rows(self) -> int:
        """Bytes of the filtered rows before compression, each with its filter's number (PNG, section 7)."""
        bits = self.bits * self.samples
        if not self.interlaced:
            return self.rows * (1 + (self.columns * bits + 7) // 8)
        total = 0
        for top, down, left, right in _ADAM7:
            rows, columns = -(-(self.rows - top) // down), -(-(self.columns - left) // right)
            if rows > 0 and columns > 0:
                total += rows * (1 + (columns * bits + 7) // 8)
        return total


def png_header(start: bytes) -> PngHeader:
    """The header chunk, from a file's first 29 bytes. Raises ValueError."""
    if len(start) < 29 or start[12:16] != b"IHDR":
        raise Damaged("no header chunk")
    columns, rows, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", start[16:29])
    if bits not in _DEPTHS.get(colour, ()):
        raise Damaged(f"{bits} bits of colour type {colour}, which no PNG has")
    return PngHeader(rows, columns, bits, colour, bool(interlaced))


def check_png(data: bytes, header: PngHeader) -> None:
    """Raise ValueError where the compressed data are not exactly the picture that the header tells of.

    Checked first without unpacking (deflate grows to at most 1,032 times its size, so a small file cannot
    hold many rows), then by unpacking piece by piece, with the check sums of chunks and stream.
    """
    after_header = dropwhile(lambda chunk: chunk[0] != b"IDAT", _chunks(data))
    parts = [body for _, body in takewhile(lambda chunk: chunk[0] == b"IDAT", after_header)]
    expected, packed = header.bytes_of_rows, sum(map(len, parts))
    if packed * LARGEST_DEFLATE_RATIO < expected:
        raise Damaged(f"{packed:,} compressed bytes cannot hold {header.rows:,} rows")
    inflater = zlib.decompressobj()
    found = 0
    for part in parts:
        left = bytes(part)
        while left and not inflater.eof:
            found += len(inflater.decompress(left, _PIECE))
            left = inflater.unconsumed_tail
            if found > expected + _PIECE:
                raise Damaged(f"more pixels than the header's {header.rows:,} rows")
    row = header.bytes_of_rows // max(header.rows, 1)
    if found < expected:
        raise Damaged(f"{found:,} of {expected:,} bytes of pixels")
    if found >= expected + row:
        raise Damaged(f"more pixels than the header's {header.rows:,} rows")
    if not inflater.eof:
        raise Damaged("the compressed data have no end")


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and content of each chunk up to IEND or the file's end. Raises ValueError for a check sum."""
    view, at = memoryview(data), len(PNG_MAGIC)
    while at + 12 <= len(data):
        length = int.from_bytes(view[at : at + 4], "big")
        kind, body = bytes(view[at + 4 : at + 8]), view[at + 8 : at + 8 + length]
        end = at + 8 + length
        if kind == b"IDAT" and end + 4 <= len(data):
            stated = int.from_bytes(view[end : end + 4], "big")
            if zlib.crc32(view[at + 4 : end]) != stated:
                raise Damaged("a chunk of pixels whose check sum is wrong")
        yield kind, body
        if kind == b"IEND":
            return
        at = end + 4


def may_ask_for_a_turn(stream: IO[bytes]) -> bool:
    """Whether a PNG file has EXIF or XMP at all; pixels are passed over, not read."""
    stream.seek(len(PNG_MAGIC))
    while len(start := stream.read(8)) == 8:
        length, kind = int.from_bytes(start[:4], "big"), start[4:]
        keyword = stream.read(min(length, 32)) if kind in _TEXTS else b""
        if kind == b"eXIf" or keyword.startswith(_TEXTS_WITH_A_TURN):
            return True
        stream.seek(length + 4 - len(keyword), 1)
    return False
