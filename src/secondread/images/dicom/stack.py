"""Planes that lie one behind the other: their order, and the volume that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom.geometry import RAS, NotAStack, Plane
from secondread.images.image import Geometry

_SAME_DIRECTION = 2e-3
_SAME_PLACE = 1e-3
_A_GAP = 1.5
"""Times the usual distance from which on a slice is missing."""
_NEARLY = 0.15


def at_one_place(planes: Sequence[Plane]) -> list[list[int]]:
    """The planes, by number, gathered by where they lie along the normal of the first; lowest first."""
    heights = np.array([float(np.dot(plane.origin, planes[0].normal)) for plane in planes])
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    places = [order[:1]]
    for before, index in pairwise(order):
        if heights[index] - heights[before] > _SAME_PLACE:
            places.append([])
        places[-1].append(index)
    return places


def without_copies(
    planes: Sequence[Plane], equal: Callable[[int, int], bool]
) -> tuple[list[int], tuple[str, ...]]:
    """The slices, by number, without those that stand there again, and a remark where there were any.

    A copy lies in the place of an earlier slice and is `equal` to it in its pixels. Others stay, so that
    `stack` refuses them.
    """
    dropped = set()
    for place in at_one_place(planes):
        for index in place[1:]:
            if _same_plane(planes[place[0]], planes[index]) and equal(place[0], index):
                dropped.add(index)
    kept = [index for index in range(len(planes)) if index not in dropped]
    return kept, (copies_dropped(len(dropped)),) if dropped else ()


def copies_dropped(count: int) -> str:
    """The remark of a volume of which `count` slices were there twice."""
    return f"copies dropped: {_counted(count, 'slice')} with the pixels and the place of another"


def stack(planes: Sequence[Plane]) -> tuple[list[int], Geometry]:
    """The order of slices along the common normal, and the volume's geometry.

    The affine's slice column is `(last − first origin) / (n − 1)`, so that it also says the shear of a tilted
    gantry; `spacing[0]` is that column's length. Where slices lie unevenly, `slice_origins` holds each one's
    place. Tilt, unevenness and slices that seem to be missing are told in `remarks`. Raises NotAStack.
    """
    first = planes[0]
    for plane in planes:
        if not _parallel(plane, first):
            raise NotAStack("slices of different orientations (a localiser, or several stacks)")
        if not np.allclose(
            (plane.row_spacing, plane.column_spacing), (first.row_spacing, first.column_spacing), rtol=1e-3
        ):
            raise NotAStack("slices of different pixel spacings")
    if len(planes) == 1:
        step = first.normal * (first.thickness or 1.0)
        return [0], Geometry(_lengths(first, step), first.affine(step), remarks=("a volume of one slice",))
    places = at_one_place(planes)
    if len(places) < len(planes):
        raise NotAStack(
            f"{len(planes)} slices at {len(places)} positions,"
            " several at one position (times, echoes, phases or segments)"
        )
    order = [place[0] for place in places]
    heights = np.array([float(np.dot(planes[index].origin, first.normal)) for index in order])
    gaps = np.diff(heights)
    origins = np.array([planes[index].origin for index in order])
    lowest = planes[order[0]]
    step = (origins[-1] - origins[0]) / (len(planes) - 1)
    even = origins[0] + step * np.arange(len(planes))[:, np.newaxis]
    off_grid = float(np.linalg.norm(origins - even, axis=1).max())
    ordered = [planes[index] for index in order]
    remarks = [*_missing(gaps, ordered), *_sparse(gaps, planes), *_uneven(gaps, off_grid)]
    remarks += _tilt(step, lowest.normal)
    uneven = off_grid > _tolerance(gaps)
    geometry = Geometry(
        _lengths(lowest, step),
        lowest.affine(step),
        remarks=tuple(remarks),
        slice_origins=origins * RAS if uneven else None,
    )
    return order, geometry


def _parallel(one: Plane, other: Plane) -> bool:
    """Whether rows and columns of two planes run the same way."""
    apart = [one.along_columns - other.along_columns, one.along_rows - other.along_rows]
    return float(np.abs(apart).max()) <= _SAME_DIRECTION


def _same_plane(one: Plane, other: Plane) -> bool:
    return _parallel(one, other) and float(np.linalg.norm(one.origin - other.origin)) <= _SAME_PLACE


def slices_missing_inside(planes: Sequence[Plane]) -> int:
    """How many slices the gaps between the others would hold (see `_wide_gaps`)."""
    heights = np.array([float(np.dot(plane.origin, planes[0].normal)) for plane in planes])
    order = np.argsort(heights)
    counts, _ = _wide_gaps(np.diff(heights[order]), [planes[index] for index in order])
    return int(counts.sum())


def _wide_gaps(
    gaps: NDArray[np.float64], planes: Sequence[Plane]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many slices each gap lacks, and the gap that is usual there, in millimetres.

    `planes` are in order. A gap is usual in proportion to the thicker of its two slices, where all say their
    thickness (a head may have thin slices below and thick ones above), by the median of all gaps. It is wide
    from one and a half of that on, where it is also about a multiple of it, or wide beside its neighbours.
    """
    if not len(gaps):
        return np.zeros(0, np.int64), gaps
    thick = np.array([plane.thickness or 0.0 for plane in planes])
    scale = np.maximum(thick[1:], thick[:-1]) if (thick > 0).all() else np.ones(len(gaps))
    usual = float(np.median(gaps / scale)) * scale
    if not (usual > _SAME_PLACE).all():
        return np.zeros(len(gaps), np.int64), usual
    times = gaps / usual
    beside = np.maximum(np.r_[times[1:], 0.0], np.r_[0.0, times[:-1]])
    multiple = np.abs(times - np.round(times)) <= _NEARLY
    wide = (times > _A_GAP) & (multiple | (times > _A_GAP * beside))
    return np.where(wide, np.round(times) - 1, 0).astype(np.int64), usual


def _missing(gaps: NDArray[np.float64], planes: Sequence[Plane]) -> list[str]:
    counts, usual = _wide_gaps(gaps, planes)
    wide = np.flatnonzero(counts)
    if not len(wide):
        return []
    widest = wide[np.argmax(gaps[wide])]
    slices, places = _counted(int(counts.sum()), "slice"), _counted(len(wide), "gap")
    return [
        f"slices missing inside: {slices} in {places} of up to {gaps[widest]:.3g} mm,"
        f" where {usual[widest]:.3g} mm are usual"
    ]


def _sparse(gaps: NDArray[np.float64], planes: Sequence[Plane]) -> list[str]:
    """Slices that lie further apart than one and a half of their thickness: every other one may be
    missing."""
    thickness = max(plane.thickness or 0.0 for plane in planes)
    usual = float(np.median(gaps))
    if not thickness > 0 or usual <= _A_GAP * thickness:
        return []
    return [f"wide gaps: slices of {thickness:.3g} mm lie {usual:.3g} mm apart; some may be missing"]


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _tolerance(gaps: NDArray[np.float64]) -> float:
    return max(0.01, 0.01 * float(np.median(gaps)))


def _uneven(gaps: NDArray[np.float64], off_grid: float) -> list[str]:
    if off_grid <= _tolerance(gaps):
        return []
    return [
        f"uneven slice spacing: {gaps.min():.3g} to {gaps.max():.3g} mm along the normal"
        f" (median {np.median(gaps):.3g}),"
        f" up to {off_grid:.3g} mm off the even grid of the affine"
    ]


def _tilt(step: NDArray[np.float64], normal: NDArray[np.float64]) -> list[str]:
    along = abs(float(np.dot(step, normal)))
    sideways = float(np.linalg.norm(step - np.dot(step, normal) * normal))
    degrees = float(np.degrees(np.arctan2(sideways, along)))
    if degrees < 0.1:
        return []
    return [f"tilted gantry: slices are sheared by {degrees:.1f}°, {sideways:.3g} mm from one to the next"]


def _lengths(plane: Plane, step: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(np.linalg.norm(step)), plane.row_spacing, plane.column_spacing
