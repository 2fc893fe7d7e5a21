"""Voxels of a file that says where they lie, turned to the one orientation with the way back kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Geometry, ImageError
from secondread.images.orientation import canonical_affine, canonical_axes, to_canonical

NO_ORIENTATION = "no orientation in the header"
"""How a remark begins on a file that does not say how its voxels lie in the patient."""
SHEARED = "the axes are sheared (a tilted gantry); voxels are read as stored"


def about_axes(path: str, affine: NDArray[np.float64], advice: str) -> tuple[str, ...]:
    """What is to be said of a 4×4 from voxel to millimetres. Raises ImageError, with what to do, for one that
    has no inverse."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    sound = bool(np.isfinite(affine).all() and (lengths > 0).all())
    axes = affine[:3, :3] / lengths if sound else np.zeros((3, 3))
    if abs(np.linalg.det(axes)) < 1e-6:
        raise ImageError(path, "the affine is singular or not finite", advice)
    return (SHEARED,) if np.abs(axes.T @ axes - np.eye(3)).max() > 0.01 else ()


def in_one_orientation(
    pixels: NDArray[np.generic], affine: NDArray[np.float64], remarks: tuple[str, ...]
) -> tuple[NDArray[np.generic], Geometry]:
    """`[i, j, k, channels]` in the file's order, turned to the axes of all volumes, with the way back; of one
    slice a picture."""
    axes, flips = canonical_axes(affine)
    array_affine = canonical_affine(affine, pixels.shape, axes, flips)
    turned = to_canonical(pixels, axes, flips)
    spacing = tuple(float(length) for length in np.linalg.norm(array_affine[:3, :3], axis=0))
    geometry = Geometry(spacing, array_affine, axes, flips, affine, remarks)
    if 1 in turned.shape[:3]:
        return _single_slice(turned, geometry)
    return turned, geometry


def size_in_one_orientation(
    grid: tuple[int, ...], affine: NDArray[np.float64]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The size and the spacing that `in_one_orientation` gives a grid of three lengths."""
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    axes, _ = canonical_axes(affine)
    order = [axes.index(axis) for axis in range(3)]
    if 1 in grid:
        single = next(axis for axis in order if grid[axis] == 1)
        order.remove(single)
    return tuple(grid[axis] for axis in order), tuple(float(zooms[axis]) for axis in order)


def _single_slice(pixels: NDArray[np.generic], geometry: Geometry) -> tuple[NDArray[np.generic], Geometry]:
    """A volume of one slice as a 2-D image `(row, column)`; the third column of the affine is its normal."""
    assert geometry.affine is not None
    assert geometry.spacing is not None
    assert geometry.file_axes is not None
    assert geometry.file_flips is not None
    single = pixels.shape.index(1)
    kept = [axis for axis in range(3) if axis != single]
    affine = geometry.affine[:, [*kept, single, 3]]
    files = [f for f in range(3) if geometry.file_axes[f] != single]
    flat = Geometry(
        tuple(geometry.spacing[axis] for axis in kept),
        affine,
        tuple(kept.index(geometry.file_axes[f]) for f in files),
        tuple(geometry.file_flips[f] for f in files),
        geometry.file_affine,
        geometry.remarks,
    )
    return np.squeeze(pixels, axis=single), flat
