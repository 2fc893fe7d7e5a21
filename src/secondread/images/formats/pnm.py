"""PNM pictures (.pbm, .pgm, .ppm): bits, greys and colours of up to 16 bits, packed or written as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.raster import damaged, finish
from secondread.images.image import Damaged, Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference

_GAP = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+"
_SIZE = rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})"
_OF_BITS = re.compile(_SIZE + rb"[ \t\r\n\v\f]")
_OF_VALUES = re.compile(_SIZE + _GAP + rb"(\d{1,5})[ \t\r\n\v\f]")
_ANOTHER = re.compile(rb"\s*P[1-6]\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
_BITS, _PLAIN, _COLOUR = (1, 4), (1, 2, 3), (3, 6)


@dataclass(frozen=True)
class PnmHeader:
    """`number`: 1 to 6, of the magic. `most`: the value of white. `start`: of the pixels, in bytes."""

    number: int
    rows: int
    columns: int
    most: int
    start: int

    @property
    def channels(self) -> int:
        return 3 if self.number in _COLOUR else 1


def is_pnm(start: bytes) -> bool:
    """Whether a file's first bytes are the header of a PNM picture."""
    return re.match(_SIZE, start) is not None


def pnm_header(start: bytes) -> PnmHeader:
    """The header in a file's first bytes. Raises ValueError."""
    bits = start[1:2] in (b"1", b"4")
    found = (_OF_BITS if bits else _OF_VALUES).match(start)
    if found is None:
        raise Damaged("no header")
    number, columns, rows = (int(found[place]) for place in (1, 2, 3))
    most = 1 if bits else int(found[4])
    if columns < 1 or rows < 1 or not 1 <= most <= 65535:
        raise Damaged("a header without rows, columns or a value of white")
    return PnmHeader(number, rows, columns, most, found.end())


def read_pnm(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """A PNM picture. Values of up to 8 bits are read so that white is 255, and those of more as they are
    stored. Raises ImageError."""
    try:
        header = pnm_header(data)
        limits.check_shape(reference.text, (header.rows, header.columns, header.channels))
        stored = _numbers(data, header) if header.number in _PLAIN else _packed(data, header)
    except ImageError:
        raise
    except Exception as error:
        raise damaged(reference, "PNM", error) from error
    said = {"format": "PNM", "bits": "8" if header.most < 256 else "16"}
    said["mode"] = "RGB" if header.channels == 3 else "1" if header.number in _BITS else "L"
    return finish(reference, data, stored.reshape(header.rows, header.columns, header.channels), said)


def _packed(data: bytes, header: PnmHeader) -> NDArray[Any]:
    bits = header.number in _BITS
    kind = np.dtype("u1") if header.most < 256 else np.dtype(">u2")
    line = (header.columns + 7) // 8 if bits else header.columns * header.channels * kind.itemsize
    end = header.start + header.rows * line
    if len(data) < end:
        raise Damaged("rows are missing")
    if _ANOTHER.match(data, end):
        raise Damaged("several pictures in one file; save each in a file of its own")
    if bits:
        lines = np.frombuffer(data, np.uint8, header.rows * line, header.start).reshape(header.rows, line)
        return (1 - np.unpackbits(lines, axis=1, count=header.columns)) * np.uint8(255)
    raw = np.frombuffer(data, kind, header.rows * line // kind.itemsize, header.start)
    return _brought_to_white(raw, header.most)


def _numbers(data: bytes, header: PnmHeader) -> NDArray[Any]:
    count = header.rows * header.columns * header.channels
    text = _COMMENT.sub(b" ", data[header.start :])
    if header.number in _BITS:  # digits need no space between them
        digits = np.frombuffer(b"".join(text.split()), np.uint8) - ord("0")
        values = digits.astype(np.int64)
    else:
        values = np.array(text.split(), np.int64)
    if len(values) != count:
        raise Damaged(f"{len(values):,} values where there should be {count:,}")
    if header.number in _BITS:
        values = 1 - values
    if values.min() < 0:
        raise Damaged("values that are none")
    return _brought_to_white(values, header.most)


def _brought_to_white(values: NDArray[Any], most: int) -> NDArray[Any]:
    if values.max() > most:
        raise Damaged(f"values above {most}, which it says is white")
    if most > 255:
        return values.astype(np.uint16)
    if most == 255:
        return values.astype(np.uint8)
    return ((values.astype(np.uint16) * 255 + most // 2) // most).astype(np.uint8)
