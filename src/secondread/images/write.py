"""Maps go back to disk on the grid of the file that they explain."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Geometry, Image
from secondread.images.turn import ORIENTATION_TAG, orientation_of
from secondread.outputs.whole import whole_file


def write_map(path_stem: str | Path, array: NDArray[np.generic], geometry: Geometry) -> Path:
    """Write a map `[*spatial]`, its axes in the file's order (`Geometry.to_file_axes`), and return the path.

    A 2-D map becomes `path_stem` + ".tiff" (float32, not compressed: deflate would take longer than scoring
    for a sixth of the bytes), with the orientation tag of a picture that is shown turned. A volume becomes
    `path_stem` + ".nii.gz" (float32) with the file's own affine. Where the file is DICOM, which has no affine
    of its own, the axes are written as (column, row, slice), as viewers expect, with the affine of the
    series. The file appears under its name only when it is complete. Raises ValueError for another rank,
    OSError where it cannot be written.
    """
    values = np.ascontiguousarray(array, dtype=np.float32)
    if values.ndim == 2:
        return _written(Path(f"{path_stem}.tiff"), lambda file: _write_tiff(file, values, geometry))
    if values.ndim == 3:
        return _written(Path(f"{path_stem}.nii.gz"), lambda file: write_nifti(file, values, geometry))
    raise ValueError(f"a map has 2 or 3 axes, not {values.ndim}")


def map_on(read: Image, image: Image) -> NDArray[np.float32] | None:
    """A map as it was read from its file (`write_map`), on the array `[*spatial]` of the image that it
    explains; None where it is of another size.

    It is found by the axes of both files and not by positions: a volume that does not say where it lies has a
    map with an affine all the same, and is not turned as that asks for. The map of a volume of one slice is
    read as a picture, and is a volume again here.
    """
    values = read.pixels[0].astype(np.float32, copy=False)
    if image.rank == 3:
        stored = np.asarray(read.geometry.to_file_axes(values), dtype=np.float32)
        lengths = tuple(image.size[axis] for axis in image.geometry.file_axes or range(3))
        own_axes = image.geometry.file_affine is not None
        expected = lengths if own_axes else lengths[::-1]
        if stored.ndim == 2 and stored.size == np.prod(expected) and 1 in expected:
            stored = stored.reshape(expected)
        if stored.shape != expected:
            return None
        values = image.geometry.from_file_axes(stored if own_axes else stored.transpose(2, 1, 0))
    return values if values.shape == image.size else None


def _written(path: Path, write: Callable[[BinaryIO], None]) -> Path:
    with whole_file(path, synced=False) as file:
        write(file)
    return path


def _write_tiff(file: BinaryIO, values: NDArray[np.float32], geometry: Geometry) -> None:
    import tifffile

    orientation = orientation_of(geometry)
    tags = [] if orientation == 1 else [(ORIENTATION_TAG, "H", 1, orientation, True)]
    tifffile.imwrite(file, values, photometric="minisblack", metadata=None, extratags=tags)


def write_nifti(file: BinaryIO, values: NDArray[np.generic], geometry: Geometry) -> None:
    """A volume `[*spatial]` as `write_map` has it, in its own type, packed."""
    import nibabel

    affine = geometry.affine_on_file_axes(values.shape)
    if affine is None:
        affine = np.diag([*(geometry.spacing or (1.0, 1.0, 1.0)), 1.0])[[2, 1, 0, 3]]
    if geometry.file_affine is None:
        values, affine = values.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]
    volume = nibabel.Nifti1Image(values, affine)
    volume.header.set_xyzt_units("mm")
    with gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        volume.to_stream(packed)
