"""A mask brought onto the grid of the image that it outlines: in space, where files say where they lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.grids.placed import NO_ORIENTATION
from secondread.images.image import Geometry, Image, ImageError
from secondread.wording.sizes import times

SAME_GRID = 0.05
"""Positions that differ by less than this share of a voxel are one position."""
LEAST_SHARED = 0.9
"""Of the smaller of the two fields, this share must lie in the other."""
SAME_PLANE = 0.5
SAME_SHAPE = 0.02
_AS_IMAGE = "save the mask with the image's affine and grid"


def mask_on(mask: Image, geometry: Geometry, size: tuple[int, ...], image: str) -> NDArray[np.bool_]:
    """Where a mask marks something, on the array grid of an image of this geometry and size.

    Any value but 0 marks. Where both files state a position, the mask is taken in space, by the nearest
    voxel, so its own orientation and spacing may be others. Where neither does, both show the same field: the
    sizes agree, or their proportions do. `image` is what messages call the image.

    Raises ImageError where the ranks differ, only one of the two states a position (an identity affine beside
    another one states none), they lie apart, the proportions differ, or nothing of what the mask marks falls
    on the image.
    """
    marked = np.any(mask.pixels != 0, axis=0)
    if marked.ndim == 2 and len(size) == 3 and 1 in size and mask.geometry.affine is not None:
        marked = marked[..., np.newaxis]  # one slice, which is read as a picture
    if marked.ndim != len(size):
        raise ImageError(mask.source, f"a mask of rank {marked.ndim} for an image of rank {len(size)}")
    if same_grid(mask.geometry, mask.size, geometry, size):
        return marked
    stated, own = states_position(geometry), states_position(mask.geometry)
    if own and not stated:
        raise ImageError(
            mask.source, f"lies somewhere in space, and {image} does not say where it lies", _AS_IMAGE
        )
    if stated and (not own or _is_identity(mask.geometry)):
        return _as_stored(mask, marked, geometry, size, image)
    place = _in_space if stated else _in_picture
    placed = place(mask, marked, geometry, size, image)
    if marked.any() and not placed.any():
        raise ImageError(mask.source, f"nothing of what it marks falls on {image}", _AS_IMAGE)
    return placed


def states_position(geometry: Geometry) -> bool:
    """Whether the file says where its pixels lie in the patient."""
    unstated = any(remark.startswith(NO_ORIENTATION) for remark in geometry.remarks)
    return geometry.affine is not None and not unstated


def same_grid(
    first: Geometry, first_size: tuple[int, ...], second: Geometry, second_size: tuple[int, ...]
) -> bool:
    """Whether two arrays have one size, and all corners at one place; pictures without positions do not."""
    if first_size != second_size or first.affine is None or second.affine is None:
        return False
    if (first.slice_origins is None) != (second.slice_origins is None):
        return False
    if first.slice_origins is not None and second.slice_origins is not None:
        return bool(np.allclose(first.slice_origins, second.slice_origins, atol=SAME_GRID * _step(first)))
    between = _corners(first_size) @ (first.affine - second.affine).T
    return bool(np.abs(between[:, :3]).max() <= SAME_GRID * _step(first))


def _is_identity(geometry: Geometry) -> bool:
    return geometry.file_affine is not None and np.allclose(geometry.file_affine, np.eye(4))


def _step(geometry: Geometry) -> float:
    assert geometry.affine is not None
    return float(np.linalg.norm(geometry.affine[:3, :3], axis=0).min())


def _corners(size: tuple[int, ...]) -> NDArray[np.float64]:
    """Homogeneous indices of an array's corners."""
    ends = [(0, n - 1) for n in size] + [(0,)] * (3 - len(size))
    grid = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.hstack([grid, np.ones((len(grid), 1))]).astype(np.float64)


def _as_stored(
    mask: Image, marked: NDArray[np.bool_], geometry: Geometry, size: tuple[int, ...], image: str
) -> NDArray[np.bool_]:
    """A mask without a position for an image with one: a plain picture of the very rows and columns."""
    plain = mask.geometry.affine is None and not _is_turned(mask.geometry, len(size))
    if plain and mask.size == size and not _is_turned(geometry, len(size)):
        return marked
    what = "has an identity affine" if _is_identity(mask.geometry) else "does not say where it lies"
    raise ImageError(mask.source, f"{what}, and {image} does", _AS_IMAGE)


def _is_turned(geometry: Geometry, rank: int) -> bool:
    """Whether the array runs otherwise than the file."""
    axes, flips = geometry.file_axes, geometry.file_flips
    return (axes is not None and axes != tuple(range(rank))) or (flips is not None and any(flips))


def _in_picture(
    mask: Image, marked: NDArray[np.bool_], geometry: Geometry, size: tuple[int, ...], image: str
) -> NDArray[np.bool_]:
    """A mask of a picture, neither of which has a position: the same field, seen alike."""
    if (mask.geometry.affine is None) != (geometry.affine is None):
        raise ImageError(
            mask.source, f"neither it nor {image} says where it lies, and the formats differ", _AS_IMAGE
        )
    if _is_turned(geometry, len(size)) and not _is_turned(mask.geometry, len(size)):
        stored = geometry.to_file_axes(np.empty(size, np.bool_)).shape
        shown, raw = _same_shape(marked.shape, size), _same_shape(marked.shape, stored)
        if shown and raw:
            raise ImageError(
                mask.source,
                f"{image} is turned on reading, and the mask does not say whether it is turned already",
                "turn the image's own pixels, or give the mask the same orientation tag",
            )
        if raw:
            marked = geometry.from_file_axes(nearest(marked, stored))
    if not _same_shape(marked.shape, size):
        raise ImageError(mask.source, f"its size {times(marked.shape)} is not the image's {times(size)}")
    return nearest(marked, size)


def _same_shape(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Equal proportions, as far as whole pixels allow; a volume's number of slices must be the same."""
    if len(one) == 3 and one[0] != other[0]:
        return False
    rows, columns = other[-2] / one[-2], other[-1] / one[-1]
    pixel = max(rows / other[-2], columns / other[-1])
    return abs(rows - columns) <= max(SAME_SHAPE * max(rows, columns), pixel)


def nearest(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask on a grid of another size that covers the same field: nearest neighbour, voxel centres."""
    if mask.shape == size:
        return mask
    indices = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for old, new in zip(mask.shape, size, strict=True)
    ]
    return mask[np.ix_(*indices)]


def _in_space(
    mask: Image, marked: NDArray[np.bool_], geometry: Geometry, size: tuple[int, ...], image: str
) -> NDArray[np.bool_]:
    """The mask's nearest voxel at each of the image's positions."""
    assert geometry.affine is not None
    assert mask.geometry.affine is not None
    if mask.geometry.slice_origins is not None:
        raise ImageError(mask.source, f"its slices lie unevenly, and not as those of {image}", _AS_IMAGE)
    to_mask = np.linalg.inv(mask.geometry.affine)
    first = [axis[:, np.newaxis] for axis in np.indices(size[-2:]).reshape(2, -1)]
    plane = np.hstack(first) if len(size) == 2 else np.hstack([np.zeros_like(first[0]), *first])
    plane = np.hstack([plane, np.zeros((len(plane), 3 - len(size))), np.ones((len(plane), 1))])
    positions = plane @ (to_mask @ geometry.affine).T
    placed = np.zeros(size, bool)
    inside = 0
    for number, target in enumerate(placed if len(size) == 3 else placed[np.newaxis]):
        at = positions[:, :3] + number * (to_mask @ geometry.affine)[:3, 0]
        if geometry.slice_origins is not None:
            axis, off_grid = _off_grid(geometry)
            at = at + (off_grid @ to_mask[:3, :3].T)[number if axis == 0 else plane[:, axis].astype(int)]
        found = _nearest_voxels(marked, at)
        target.ravel()[...] = found == 1
        inside += int((found >= 0).sum())
    _refuse_apart(mask, geometry, size, inside, image)
    return placed


def _off_grid(geometry: Geometry) -> tuple[int, NDArray[np.float64]]:
    """The axis that uneven slices lie along, and how far each is off the even grid, `[slices, 3]` in RAS+."""
    assert geometry.affine is not None
    assert geometry.slice_origins is not None
    axis = geometry.file_axes[0] if geometry.file_axes else 0
    even = (
        geometry.affine[:3, 3]
        + np.arange(len(geometry.slice_origins))[:, np.newaxis] * geometry.affine[:3, axis]
    )
    return axis, geometry.slice_origins - even


def _nearest_voxels(marked: NDArray[np.bool_], at: NDArray[np.float64]) -> NDArray[np.int8]:
    """1 or 0 as the nearest voxel says, −1 where there is none. `at` are indices `[n, 3]`."""
    index = np.floor(at[:, : marked.ndim] + 0.5).astype(np.int64)
    there = np.all((index >= 0) & (index < marked.shape), axis=1)
    if marked.ndim == 2:
        there &= np.abs(at[:, 2]) <= SAME_PLANE
    found = np.full(len(at), -1, np.int8)
    found[there] = marked[tuple(index[there].T)]
    return found


def _refuse_apart(mask: Image, geometry: Geometry, size: tuple[int, ...], inside: int, image: str) -> None:
    assert geometry.affine is not None
    assert mask.geometry.affine is not None
    axes = slice(None) if len(size) == 3 else slice(2)
    voxel, own = (
        np.prod(np.linalg.norm(each.affine[:3, :3], axis=0)[axes])  # type: ignore[index]
        for each in (geometry, mask.geometry)
    )
    shared = max(inside / np.prod(size), inside * voxel / (np.prod(mask.size) * own))
    if shared < LEAST_SHARED:
        raise ImageError(
            mask.source,
            f"lies elsewhere: it and {image} share {100 * shared:.0f} % of the smaller field",
            _AS_IMAGE,
        )
