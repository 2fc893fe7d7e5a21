"""A table of numbers, each of whose lines is a vector: an image of one row of values.

The vectors are the columns whose cells are numbers, in the file's order, without those that say whose a line
is and what is known of it (`tables.OF_IMAGES`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondread import tables
from secondread.images.image import VECTOR, Geometry, Image, ImageError
from secondread.images.kept_file import made_once
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference, digest_of, member_number

MEMBER = "row"
"""`features.csv#row/0` is the first line below the header."""


def value_columns(names: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    """Which columns hold the vectors: those most of whose cells are numbers, and whose name is none of those
    that tables of images have."""
    return [
        column
        for column, name in enumerate(names)
        if not _tells_of_images(name)
        if 2 * sum(_number(line[column]) is not None for line in lines if column < len(line)) > len(lines)
    ]


def read_vector(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """One line of a table, `features.csv#row/17`: float32 `[1, 1, D]`. Raises ImageError."""
    number = member_number(reference, MEMBER)
    values = made_once(data, "vectors", lambda: _values(reference, data, limits))
    if number >= len(values):
        raise ImageError(reference.text, f"the table has lines 0 to {len(values) - 1}")
    pixels = values[number][None, None]
    header = {"format": "table", "mode": "grey", "bits": "32", VECTOR: "yes"}
    header |= {"rows": "1", "columns": str(pixels.shape[-1])}
    return Image(pixels, Geometry(), reference.text, digest_of(pixels.tobytes()), header=header)


def _values(reference: Reference, data: bytes, limits: ReadLimits) -> NDArray[np.float32]:
    """`[lines, D]`."""
    path = str(reference.path)
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        (_, names), *lines = tables.read(text, strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ImageError(path, "a text file that is no table", "save it as CSV in UTF-8") from error
    limits.check_count(path, len(lines), "lines")
    columns = value_columns(names, [cells for _, cells in lines])
    if not columns:
        raise ImageError(path, "a table without a column of numbers")
    limits.check_shape(path, (len(columns),))
    values = np.empty((len(lines), len(columns)), np.float32)
    for row, (line, cells) in enumerate(lines):
        for place, column in enumerate(columns):
            found = _number(cells[column]) if column < len(cells) else None
            if found is None or not math.isfinite(np.float32(found)):
                raise ImageError(
                    path,
                    f"line {line}, column {names[column]}: "
                    f"{cells[column][:40] if column < len(cells) else 'nothing'!r} is no finite number, and "
                    "most of the column are",
                    "fill it, or leave the line out",
                )
            values[row, place] = found
    return values


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _tells_of_images(name: str) -> bool:
    plain = tables.plain_name(name)
    return any(plain in spellings for spellings in tables.OF_IMAGES.values())
