"""Maps go back to disk on the grid of the file that they explain."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Geometry
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
