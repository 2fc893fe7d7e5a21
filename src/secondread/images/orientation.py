"""The one orientation that every volume is brought to, and the way back to its file's grid.

The array's axes run to Superior, Posterior and Left: slices from feet to head, rows from front to back,
columns from the patient's right to left, as DICOM shows an axial slice. Of an oblique grid each axis goes
to the nearest of these directions. Nothing is resampled: axes change places and are turned round, no more.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Geometry

_DIRECTIONS = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])
"""Superior, Posterior and Left in RAS+ millimetres, in the order of the array's axes."""
_TIE = 1e-3


def canonical_axes(affine: NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each of the file's axes, which array axis it becomes and whether it is turned round.

    The assignment has the greatest sum of cosines between axes and directions. Of assignments that are equal
    to a thousandth (a grid that is turned by 45°), one is chosen by the axes' directions alone, neither by
    their order in the file, nor by their sense, nor by the last digit of a header.
    """
    columns = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not np.isfinite(columns).all() or not (lengths > 0).all():
        return (2, 1, 0), (False, True, True)
    unit = columns / lengths
    cosines = _DIRECTIONS @ unit
    sums = {axes: sum(abs(float(cosines[axes[f], f])) for f in range(3)) for axes in permutations(range(3))}
    best = max(sums.values())
    tied = [axes for axes, total in sums.items() if total >= best - _TIE]
    axes = max(tied, key=lambda one: _signature(one, unit))
    return axes, tuple(bool(cosines[axes[f], f] < 0) for f in range(3))


def _signature(axes: tuple[int, ...], unit: NDArray[np.float64]) -> tuple[float, ...]:
    """Numbers of an assignment that do not change where a file's axes are reordered or turned round."""
    ordered = unit[:, np.argsort(axes)]
    products = [ordered[a, axis] * ordered[b, axis] for axis in range(3) for a, b in ((1, 2), (0, 2), (0, 1))]
    return tuple(float(np.round(value, 2)) + 0.0 for value in products)


def to_canonical(
    array: NDArray[np.generic], axes: tuple[int, ...], flips: tuple[bool, ...]
) -> NDArray[np.generic]:
    """A view of `[i, j, k, …]` in the file's order with its first three axes in the array's."""
    turned = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return np.transpose(turned, (*np.argsort(axes), *range(3, array.ndim)))


def canonical_affine(
    affine: NDArray[np.float64], shape: tuple[int, ...], axes: tuple[int, ...], flips: tuple[bool, ...]
) -> NDArray[np.float64]:
    """4×4 from the turned array's index to RAS+, given that of the file's grid of `shape`."""
    to_file = np.zeros((4, 4))
    to_file[3, 3] = 1.0
    for file_axis, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        to_file[file_axis, axis] = -1.0 if flip else 1.0
        to_file[file_axis, 3] = shape[file_axis] - 1 if flip else 0
    return np.asarray(affine @ to_file, dtype=np.float64)


def canonical_stack(geometry: Geometry, shape: tuple[int, ...]) -> Geometry:
    """The geometry of a stack of DICOM slices `(slice, row, column)` of `shape` after it was turned.

    `file_axes` and `file_flips` lead back to the stack. Where slices lie unevenly, `slice_origins` holds the
    place of the turned array's first element in each slice, along the axis that the slices became.
    """
    if geometry.affine is None or geometry.spacing is None:
        return geometry
    axes, flips = canonical_axes(geometry.affine)
    affine = canonical_affine(geometry.affine, shape, axes, flips)
    origins = geometry.slice_origins
    if origins is not None:
        for file_axis in (1, 2):
            if flips[file_axis]:
                origins = origins + geometry.affine[:3, file_axis] * (shape[file_axis] - 1)
        origins = np.ascontiguousarray(origins[::-1] if flips[0] else origins)
    return Geometry(
        tuple(geometry.spacing[file_axis] for file_axis in np.argsort(axes)),
        affine,
        axes,
        flips,
        None,
        geometry.remarks,
        origins,
    )


def turned(
    pixels: NDArray[Any], padding: NDArray[np.bool_] | None, geometry: Geometry
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, Geometry]:
    """A stack `[slices, rows, columns, channels]`, its padding and its geometry, in the one orientation."""
    if geometry.affine is None:
        return pixels, padding, geometry
    found = canonical_stack(geometry, pixels.shape[:3])
    axes, flips = found.file_axes, found.file_flips
    assert axes is not None
    assert flips is not None
    pixels = np.ascontiguousarray(to_canonical(pixels, axes, flips))
    if padding is not None:
        padding = np.ascontiguousarray(to_canonical(padding, axes, flips))
    return pixels, padding, found
