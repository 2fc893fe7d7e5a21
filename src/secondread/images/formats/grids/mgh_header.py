"""What the header of FreeSurfer's MGH (.mgh, .mgz) says, checked."""

from __future__ import annotations

import struct

import numpy as np

from secondread.images.formats.grids.grid import VoxelGrid
from secondread.images.formats.grids.placed import NO_ORIENTATION, about_axes
from secondread.images.formats.gzipped import GZIP_MAGIC, gunzip_start
from secondread.images.image import ImageError

_VOXELS_START = 284
_TYPES = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_AS_STORED = f"{NO_ORIENTATION}: read as a coronal volume of 1 mm, as FreeSurfer does"
_CORONAL = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def is_mgh(start: bytes) -> bool:
    """Whether a file's first bytes, unpacked, are an MGH's: version 1, lengths, and a header's length."""
    if len(start) < _VOXELS_START or start[:4] != b"\0\0\0\1":
        return False
    return all(0 < length < 1 << 24 for length in struct.unpack(">4i", start[4:20]))


def mgh_header(path: str, data: bytes) -> VoxelGrid:
    """The header in a file's first bytes. Raises ImageError for what contradicts the format."""
    packed = data[:2] == GZIP_MAGIC
    start = gunzip_start(data, _VOXELS_START) if packed else data[:_VOXELS_START]
    shape, (kind, _) = struct.unpack(">4i", start[4:20]), struct.unpack(">2i", start[20:28])
    if kind not in _TYPES:
        raise ImageError(path, f"an MGH of values of type {kind}", "save it as float, with mri_convert -odt")
    remarks: tuple[str, ...] = ()
    affine = np.eye(4)
    if struct.unpack(">h", start[28:30])[0] > 0:
        numbers = np.frombuffer(start, ">f4", 15, 30).astype(np.float64)
        affine[:3, :3] = numbers[3:12].reshape(3, 3).T * numbers[:3]
        middle = numbers[12:]
    else:
        affine[:3, :3], middle, remarks = _CORONAL, np.zeros(3), (_AS_STORED,)
    affine[:3, 3] = middle - affine[:3, :3] @ (np.array(shape[:3]) / 2)
    about = about_axes(path, affine, "repair its voxel sizes and directions, with mri_convert")
    spacing = tuple(float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return VoxelGrid(
        "MGH",
        shape,
        (0, 1, 2),
        None,
        np.dtype(_TYPES[kind]),
        spacing,
        affine,
        "gzip" if packed else "raw",
        skip=_VOXELS_START,
        remarks=(*remarks, *about),
    )
