"""What an NRRD header says (http://teem.sourceforge.net/nrrd/format.html), checked.

pynrrd is not asked: it unpacks without a bound, opens whatever path a header names, takes a size of 16.7 for
16, and knows fields and words in small letters alone. Tests compare with it and with ITK.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.grids.fields import MOST_HEADER_BYTES, Fields, as_name
from secondread.images.formats.grids.grid import VoxelGrid
from secondread.images.formats.grids.placed import NO_ORIENTATION, about_axes
from secondread.images.formats.grids.voxels import Packing
from secondread.images.image import ImageError

_MAGIC = re.compile(rb"NRRD000[1-9]\r?\n")
_MOST_AXES = 16
_TYPES = {
    name: code
    for code, names in {
        "i1": "signed char,int8,int8_t",
        "u1": "uchar,unsigned char,uint8,uint8_t",
        "i2": "short,short int,signed short,signed short int,int16,int16_t",
        "u2": "ushort,unsigned short,unsigned short int,uint16,uint16_t",
        "i4": "int,signed int,int32,int32_t",
        "u4": "uint,unsigned int,uint32,uint32_t",
        "i8": "longlong,long long,long long int,signed long long,signed long long int,int64,int64_t",
        "u8": "ulonglong,unsigned long long,unsigned long long int,uint64,uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split(",")
}
_PACKINGS: dict[str, Packing] = {
    "raw": "raw",
    "gz": "gzip",
    "gzip": "gzip",
    "bz2": "bzip2",
    "bzip2": "bzip2",
}
_SIGNS = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
_SHORT = {"ras": "right-anterior-superior", "las": "left-anterior-superior", "lps": "left-posterior-superior"}
_LPS = (-1, -1, 1)
_MILLIMETRES = {
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "millimetre": 1.0,
    "millimetres": 1.0,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "cm": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
    "nm": 1e-6,
}
_IN_SPACE = ("domain", "space", "???", "none")
_COLOURS = ("rgb-color", "3-color", "rgba-color", "4-color")
_VECTOR = re.compile(r"none|\(([^()]*)\)")
_REPAIR = "repair the header's space directions"
_UNNAMED = "the header does not name its space: read as left-posterior-superior"
_AS_STORED = f"{NO_ORIENTATION}: read as stored from right to left and from front to back"


def is_nrrd(start: bytes) -> bool:
    """Whether a file's first bytes are an NRRD's."""
    return _MAGIC.match(start[:16]) is not None


def ends_nrrd_header(start: bytes) -> bool:
    """Whether the blank line that ends a header is among a file's first bytes."""
    return re.search(rb"\n\r?\n", start) is not None


def nrrd_header(path: str, start: bytes) -> VoxelGrid:
    """The header in a file's first bytes. Raises ImageError for what contradicts the format."""
    found, first = _fields(path, start[:MOST_HEADER_BYTES])
    fields = Fields(path, found)
    count = fields.whole("dimension")
    if not 1 <= count <= _MOST_AXES:
        raise fields.wrong("dimension", f"{count}, and 1 to {_MOST_AXES} are possible")
    shape = fields.whole_numbers("sizes", count)
    if min(shape) < 1:
        raise fields.wrong("sizes", "not all above 0")
    dtype, packing = _dtype(fields), _packing(path, fields)
    kinds = _kinds(fields, count)
    vectors = _vectors(path, fields, count) if fields.has("space directions") else None
    spatial = _spatial(path, kinds, vectors)
    affine, spacing, remarks = _place(path, fields, shape, spatial, vectors)
    data_file = fields.text("data file", otherwise="")
    skip = fields.whole("byte skip", otherwise=0)
    lines = fields.whole("line skip", otherwise=0)
    if skip < -1 or lines < 0 or (skip == -1 and packing != "raw"):
        raise fields.wrong("byte skip or line skip", "below 0")
    return VoxelGrid(
        "NRRD",
        shape,
        spatial,
        _colour(kinds, shape, spatial, dtype),
        dtype,
        spacing,
        affine,
        packing,
        data_file,
        -1 if skip == -1 else 0 if data_file else first,
        lines,
        max(skip, 0),
        remarks,
    )


def _fields(path: str, start: bytes) -> tuple[dict[str, str], int]:
    """The fields up to the blank line, and where what follows it begins. Keys (`key:=value`) and comments are
    passed over."""
    found: dict[str, str] = {}
    at = start.find(b"\n") + 1
    while at < len(start):
        end = start.find(b"\n", at)
        line = start[at : len(start) if end < 0 else end].decode("utf-8", "surrogateescape").rstrip()
        at = len(start) if end < 0 else end + 1
        if not line:
            return found, at
        name, mark, value = line.partition(":")
        if line.startswith("#") or value.startswith("="):
            continue
        if not mark:
            raise ImageError(path, "a line of the header has no field", "export the file again")
        if (key := as_name(name)) in found:
            raise ImageError(path, "a field stands twice in the header", "export the file again")
        found[key] = value.strip()
    if len(start) == MOST_HEADER_BYTES:
        raise ImageError(path, f"its header has no end within {MOST_HEADER_BYTES:,} bytes", "export it again")
    return found, len(start)


def _dtype(fields: Fields) -> np.dtype[Any]:
    if fields.text("type").lower() == "block":
        raise fields.wrong("type", "block: values that are no numbers are not read")
    code = fields.one_of("type", _TYPES)
    if int(code[1]) == 1:
        return np.dtype(code)
    return np.dtype(fields.one_of("endian", {"little": "<", "big": ">"}) + code)


def _packing(path: str, fields: Fields) -> Packing:
    said = fields.text("encoding").lower()
    if said in ("text", "txt", "ascii", "hex"):
        raise ImageError(path, "its values are written as text", "save it with encoding raw or gzip")
    fields.one_of("encoding", dict(_PACKINGS))
    return _PACKINGS[said]


def _kinds(fields: Fields, count: int) -> list[str]:
    kinds = fields.text("kinds", otherwise="").lower().split() or ["???"] * count
    if len(kinds) != count:
        raise fields.wrong("kinds", f"not {count} words")
    return kinds


def _vectors(path: str, fields: Fields, count: int) -> list[NDArray[np.float64] | None]:
    said = fields.text("space directions")
    pieces = list(_VECTOR.finditer(said))
    if len(pieces) != count or _VECTOR.sub("", said).strip():
        raise fields.wrong("space directions", f"not {count} vectors")
    found = [None if piece[1] is None else _vector(fields, "space directions", piece[1]) for piece in pieces]
    lengths = {len(each) for each in found if each is not None}
    if len(lengths) != 1:
        raise fields.wrong("space directions", "not of vectors of one length")
    return found


def _vector(fields: Fields, name: str, text: str) -> NDArray[np.float64]:
    try:
        return np.array([float(each) for each in text.split(",")])
    except ValueError:
        raise fields.wrong(name, "no vector of numbers") from None


def _spatial(
    path: str, kinds: list[str], vectors: list[NDArray[np.float64] | None] | None
) -> tuple[int, ...]:
    """Which axes lie in space: those with a direction in it; without directions, the first three at most
    whose kind is none of values, colours and times."""
    if vectors is None:
        found = [axis for axis, kind in enumerate(kinds) if kind in _IN_SPACE][:3]
    else:
        found = [
            axis
            for axis, vector in enumerate(vectors)
            if vector is not None and (len(vector) <= 3 or np.any(vector[:3] != 0))
        ]
    if len(found) not in (2, 3):
        raise ImageError(path, f"{len(found)} of its axes lie in space, and 2 or 3 are read")
    return tuple(found)


def _colour(
    kinds: list[str], shape: tuple[int, ...], spatial: tuple[int, ...], dtype: np.dtype[Any]
) -> int | None:
    """The axis that is colour by its kind, or one of 3 or 4 bytes or 16-bit values, as ITK writes colour."""
    for axis, kind in enumerate(kinds):
        if axis in spatial or shape[axis] not in (3, 4):
            continue
        if kind in _COLOURS or (kind == "vector" and dtype.kind == "u" and dtype.itemsize <= 2):
            return axis
    return None


def _place(
    path: str,
    fields: Fields,
    shape: tuple[int, ...],
    spatial: tuple[int, ...],
    vectors: list[NDArray[np.float64] | None] | None,
) -> tuple[NDArray[np.float64] | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Affine, spacing, and what is to be said of them."""
    if vectors is None:
        return _by_spacings(path, fields, len(shape), spatial)
    scale, remarks = _unit(fields.text("space units", otherwise=""))
    steps = [np.asarray(vectors[axis], np.float64) * scale for axis in spatial]
    spacing = tuple(float(np.linalg.norm(step[:3])) for step in steps)
    if not all(np.isfinite(spacing)) or min(spacing) <= 0:
        raise ImageError(path, "the affine is singular or not finite", _REPAIR)
    if len(steps[0]) < 3:
        return None, spacing, remarks
    affine = np.eye(4)
    for column, step in enumerate(steps):
        affine[:3, column] = step[:3]
    if len(steps) == 2:
        normal = np.cross(steps[0][:3], steps[1][:3])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    affine[:3, 3] = _origin(fields, len(steps[0]))[:3] * scale
    name = fields.text("space", otherwise="").lower().removesuffix("-time")
    name = _SHORT.get(name.removesuffix("t") if len(name) == 4 else name, name)
    if name not in _SIGNS:
        remarks += (_UNNAMED,)
    affine[:3] *= np.array(_SIGNS.get(name, _LPS))[:, np.newaxis]
    return affine, spacing, (*remarks, *about_axes(path, affine, _REPAIR))


def _by_spacings(
    path: str, fields: Fields, count: int, spatial: tuple[int, ...]
) -> tuple[NDArray[np.float64] | None, tuple[float, ...] | None, tuple[str, ...]]:
    if not fields.has("spacings"):
        return None, None, ()
    said = fields.text("spacings").lower().split()
    if len(said) != count:
        raise fields.wrong("spacings", f"not {count} numbers")
    scale, remarks = _unit(fields.text("units", otherwise=""))
    steps = Fields(path, {"spacings": " ".join(said[axis] for axis in spatial)})
    if all(said[axis] == "nan" for axis in spatial):
        return None, None, ()
    spacing = tuple(abs(step) * scale for step in steps.numbers("spacings", count=len(spatial)))
    if min(spacing) <= 0:
        raise fields.wrong("spacings", "not all above 0")
    if len(spatial) < 3:
        return None, spacing, remarks
    return np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]), spacing, (*remarks, _AS_STORED)


def _origin(fields: Fields, count: int) -> NDArray[np.float64]:
    if not fields.has("space origin"):
        return np.zeros(count)
    said = re.fullmatch(r"\(([^()]*)\)", fields.text("space origin"))
    found = np.zeros(0) if said is None else _vector(fields, "space origin", said[1])
    if len(found) != count:
        raise fields.wrong("space origin", f"not {count} numbers")
    return found


def _unit(said: str) -> tuple[float, tuple[str, ...]]:
    """Millimetres of the first unit that is named, and a remark on one that is not known."""
    units = [unit.strip().lower() for unit in re.findall(r'"([^"]*)"', said)] or said.lower().split()
    unit = next((unit for unit in units if unit not in ("", "none", "???")), "mm")
    if unit in _MILLIMETRES:
        return _MILLIMETRES[unit], ()
    return 1.0, ("a unit of length that is not known: read as millimetres",)
