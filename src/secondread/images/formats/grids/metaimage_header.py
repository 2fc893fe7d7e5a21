"""What a MetaImage header (.mha, .mhd) says, checked.

A library that reads it is ITK, of 264 MB and 94 MB of memory in every process that decodes; the header is
lines of `Key = value`, and the voxels are raw or zlib. Tests compare with it.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.grids.fields import MOST_HEADER_BYTES, Fields, as_name, number_in
from secondread.images.formats.grids.grid import VoxelGrid
from secondread.images.formats.grids.placed import NO_ORIENTATION, about_axes
from secondread.images.image import ImageError

_FIRST = re.compile(rb"[A-Za-z][A-Za-z0-9_]*[ \t]*=")
_NDIMS = re.compile(rb"^NDims[ \t]*=[ \t]*\d", re.MULTILINE)
_DATA = "ElementDataFile"
_ENDS = re.compile(rb"^ElementDataFile[ \t]*=[^\n]*\n", re.MULTILINE)
_MOST_AXES = 16
_TYPES = {
    "met_char": "i1",
    "met_uchar": "u1",
    "met_short": "i2",
    "met_ushort": "u2",
    "met_int": "i4",
    "met_uint": "u4",
    "met_long": "i4",
    "met_ulong": "u4",
    "met_long_long": "i8",
    "met_float": "f4",
    "met_ulong_long": "u8",
    "met_double": "f8",
}
_ARRAYS = re.compile(r"(met_\w+?)_array", re.IGNORECASE)
_TRUE = {"true": "true", "1": "true", "yes": "true", "false": "", "0": "", "no": ""}
_TURNS = ("TransformMatrix", "Rotation", "Orientation")
_ORIGINS = ("Offset", "Position", "Origin")
_REPAIR = "repair the header's TransformMatrix and ElementSpacing"
_AS_STORED = f"{NO_ORIENTATION} (TransformMatrix): read as stored from right to left and from front to back"
_NOT_SCALED = "ElementToIntensityFunction is not applied, as ITK does not"


def is_metaimage(start: bytes) -> bool:
    """Whether a file's first KiB is a MetaImage's."""
    return _FIRST.match(start) is not None and _NDIMS.search(start[:1024]) is not None


def ends_metaimage_header(start: bytes) -> bool:
    """Whether the line that ends a header is among a file's first bytes."""
    return _ENDS.search(start) is not None


def metaimage_header(path: str, start: bytes) -> VoxelGrid:
    """The header in a file's first bytes. Raises ImageError for what contradicts the format."""
    found, first = _fields(path, start[:MOST_HEADER_BYTES])
    fields = Fields(path, found)
    kind = fields.text("ObjectType", otherwise="Image")
    if kind.lower() != "image":
        raise ImageError(path, "a MetaIO object that is no image", "give the image that it belongs to")
    if not fields.one_of("BinaryData", _TRUE, otherwise="True"):
        raise ImageError(path, "its values are written as text", "save it with BinaryData = True")
    axes = fields.whole("NDims")
    if not 2 <= axes <= _MOST_AXES:
        raise fields.wrong("NDims", f"{axes}, and 2 to {_MOST_AXES} are possible")
    sizes = fields.whole_numbers("DimSize", axes)
    channels = fields.whole("ElementNumberOfChannels", otherwise=1)
    if min(*sizes, channels) < 1:
        raise fields.wrong("DimSize or ElementNumberOfChannels", "not above 0")
    dtype = _dtype(fields)
    before = 0 if channels == 1 else 1
    spatial = tuple(before + axis for axis in range(min(axes, 3)))
    colour = 0 if channels in (3, 4) and dtype.kind == "u" and dtype.itemsize <= 2 else None
    affine, spacing, remarks = _place(path, fields, axes)
    data_file = fields.text(_DATA)
    local = data_file.upper() == "LOCAL"
    skip = 0 if local else fields.whole("HeaderSize", otherwise=0)
    packed = fields.one_of("CompressedData", _TRUE, otherwise="False")
    if skip < -1 or (skip == -1 and packed):
        raise fields.wrong("HeaderSize", "below 0")
    return VoxelGrid(
        "MetaImage",
        (channels, *sizes) if before else sizes,
        spatial,
        colour,
        dtype,
        spacing,
        affine,
        "zlib" if packed else "raw",
        "" if local else data_file,
        first if local else skip,
        remarks=remarks,
    )


def _fields(path: str, start: bytes) -> tuple[dict[str, str], int]:
    """The fields up to the one that says where the data are, and where what follows it begins."""
    found: dict[str, str] = {}
    at = 0
    while at < len(start):
        end = start.find(b"\n", at)
        line = start[at : len(start) if end < 0 else end].decode("utf-8", "surrogateescape")
        at = len(start) if end < 0 else end + 1
        name, mark, value = line.partition("=")
        if not mark:  # the end of a comment of several lines
            continue
        found[as_name(name)] = value.strip()
        if as_name(name) == _DATA.lower():
            return found, at
    if len(start) == MOST_HEADER_BYTES:
        raise ImageError(path, f"its header has no end within {MOST_HEADER_BYTES:,} bytes", "export it again")
    return found, len(start)


def _dtype(fields: Fields) -> np.dtype[Any]:
    said = _ARRAYS.sub(r"\1", fields.text("ElementType"))
    code = _TYPES.get(said.lower())
    if code is None:
        raise fields.wrong("ElementType", "none of the types of numbers that are read")
    most = fields.text("BinaryDataByteOrderMSB", "ElementByteOrderMSB", otherwise="False").lower()
    if most not in _TRUE:
        raise fields.wrong("BinaryDataByteOrderMSB", "neither True nor False")
    return np.dtype((">" if _TRUE[most] else "<") + code) if int(code[1]) > 1 else np.dtype(code)


def _place(
    path: str, fields: Fields, axes: int
) -> tuple[NDArray[np.float64] | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Affine, spacing, and what is to be said. A row of TransformMatrix is an axis's direction in LPS."""
    spatial = min(axes, 3)
    remarks: tuple[str, ...] = ()
    slope = fields.text("ElementToIntensityFunctionSlope", otherwise="1")
    shift = fields.text("ElementToIntensityFunctionOffset", otherwise="0")
    if number_in(slope) != 1 or number_in(shift) != 0:
        remarks = (_NOT_SCALED,)
    if not fields.has("ElementSpacing", "ElementSize", *_TURNS):
        return None, None, remarks
    steps = np.ones(axes)
    if fields.has("ElementSpacing", "ElementSize"):
        steps = np.array(fields.numbers("ElementSpacing", "ElementSize", count=axes))
    if not steps[:spatial].all():
        raise fields.wrong("ElementSpacing", "0 along an axis")
    spacing = tuple(float(abs(step)) for step in steps[:spatial])
    if spatial < 3:
        return None, spacing, remarks
    turned = fields.has(*_TURNS)
    matrix = np.eye(axes)
    if turned:
        matrix = np.array(fields.numbers(*_TURNS, count=axes * axes)).reshape(axes, axes)
    affine = np.eye(4)
    affine[:3, :3] = (matrix * steps[:, np.newaxis])[:3, :3].T
    if fields.has(*_ORIGINS):
        affine[:3, 3] = fields.numbers(*_ORIGINS, count=axes)[:3]
    affine[:2] *= -1
    if not turned:
        remarks += (_AS_STORED,)
    spacing = tuple(float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return affine, spacing, (*remarks, *about_axes(path, affine, _REPAIR))
