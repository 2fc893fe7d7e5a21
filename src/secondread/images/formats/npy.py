"""One NumPy array (.npy) as one image: a picture, or a volume without positions."""

from __future__ import annotations

import io
import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.colour import channels_first, refuse_non_finite
from secondread.images.image import Geometry, Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.refusal import refusing
from secondread.images.source import Reference, digest_of

NPY_MAGIC = b"\x93NUMPY"
_COLOURS = (1, 3, 4)
_AS = "save it as [rows, columns], [slices, rows, columns], or either with 3 colours as its last axis"


def array_header(path: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, whether in Fortran's order, and type, from an array's first bytes.

    Raises ImageError for a format that is not read, and ValueError for bytes that are no header.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ImageError(
        path, f"arrays of NumPy format {version} are not read", "save them again with numpy.save or savez"
    )


def npy_header(path: str, stream: io.BytesIO) -> tuple[tuple[int, ...], int, bool, np.dtype[Any]]:
    """Lengths of the axes in space, channels, whether in Fortran's order, and type, from the first bytes.

    `[rows, columns]` is a picture and `[slices, rows, columns]` a volume; a last axis of 1, 3 or 4 is colour,
    and a first axis of 1 is none. Raises ImageError for what may be either, and for arrays that are no image.
    """
    with refusing(path, "a NumPy array whose header cannot be read", "save it again with numpy.save"):
        shape, fortran, dtype = array_header(path, stream)
    if dtype.kind not in "buif":
        raise ImageError(path, f"an array of {dtype} is no image", "save numbers, as float32 or integers")
    space = shape[1:] if len(shape) > 2 and shape[0] == 1 else shape
    channels = 1
    if len(space) > 2 and space[-1] in _COLOURS:
        space, channels = space[:-1], space[-1]
    if len(space) not in (2, 3) or min(space) < 1:
        raise ImageError(path, f"an array of shape {shape} is no image", _AS)
    if len(space) == 3 and space[0] in _COLOURS:
        raise ImageError(
            path,
            f"an array of shape {shape} may be a volume of {space[0]} slices or a picture with its channels",
            "move channels to the end with numpy.moveaxis(array, 0, -1), or save a volume as NIfTI",
        )
    return space, channels, fortran, dtype


def read_npy(reference: Reference, data: bytes, limits: ReadLimits) -> Image:
    """The image that an array is. Nothing is unpickled. Raises ImageError."""
    path = reference.text
    if reference.member is not None:
        raise ImageError(path, f"'#{reference.member}': an .npy has no members")
    stream = io.BytesIO(data)
    space, channels, fortran, dtype = npy_header(path, stream)
    limits.check_shape(path, (*space, channels))
    start = stream.tell()
    asked, there = math.prod(space) * channels * dtype.itemsize, len(data) - start
    if there != asked:
        raise ImageError(path, f"{there:,} bytes of values where its header says {asked:,}", "copy it again")
    values: NDArray[Any] = np.frombuffer(data, dtype, offset=start)
    pixels = values.reshape((*space, channels), order="F" if fortran else "C")
    pixels = pixels.astype(np.uint8 if dtype.kind == "b" else dtype.newbyteorder("="), order="C", copy=False)
    header = {"format": "npy", "bits": str(8 * dtype.itemsize), "file_bytes": str(len(data))}
    header["mode"] = {1: "grey", 3: "RGB", 4: "RGBA"}[channels]
    pixels = channels_first(pixels, header)
    refuse_non_finite(path, pixels)
    header["rows"], header["columns"] = str(pixels.shape[-2]), str(pixels.shape[-1])
    return Image(pixels, Geometry(), path, digest_of(data), header=header)
