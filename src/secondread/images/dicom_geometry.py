"""Where DICOM slices lie in the patient (PS3.3 C.7.6.2): planes, and stacks of planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom_dataset import first_item, frame_item, number, numbers, text, value
from secondread.images.image import Geometry

if TYPE_CHECKING:
    from pydicom import Dataset

_RAS = np.array([-1.0, -1.0, 1.0])
_SAME_DIRECTION = 2e-3
_SAME_PLACE = 1e-3
_CENTIMETRES = 3


class NotAStack(Exception):
    """Planes that make no volume; the message says why."""


@dataclass(frozen=True)
class Plane:
    """A slice in LPS millimetres: centre of the first pixel, directions of growing indices, spacing."""

    origin: NDArray[np.float64]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]
    row_spacing: float
    column_spacing: float
    thickness: float | None = None

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.along_columns, self.along_rows)

    def affine(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """4×4 from (slice, row, column) to RAS+, slices apart by `step` in LPS."""
        matrix = np.eye(4)
        matrix[:3, 0] = step
        matrix[:3, 1] = self.along_rows * self.row_spacing
        matrix[:3, 2] = self.along_columns * self.column_spacing
        matrix[:3, 3] = self.origin
        matrix[:3] *= _RAS[:, np.newaxis]
        return matrix


def plane_of(dataset: Dataset, frame: int = 0) -> Plane | None:
    """The plane of a file or frame; None where position, orientation or spacing is not said."""
    position = _triple(
        frame_item(dataset, frame, "PlanePositionSequence"), dataset, "ImagePositionPatient", 3
    )
    direction = _triple(
        frame_item(dataset, frame, "PlaneOrientationSequence"), dataset, "ImageOrientationPatient", 6
    )
    measures = frame_item(dataset, frame, "PixelMeasuresSequence")
    spacing = _triple(measures, dataset, "PixelSpacing", 2)
    if position is None or direction is None or spacing is None or min(spacing) <= 0:
        return None
    columns, rows = direction[:3], direction[3:]
    lengths = np.linalg.norm(columns), np.linalg.norm(rows)
    if min(lengths) < 0.5 or abs(float(np.dot(columns, rows))) > 0.05:
        return None
    thickness = number(measures if measures is not None else dataset, "SliceThickness")
    return Plane(
        position, columns / lengths[0], rows / lengths[1], float(spacing[0]), float(spacing[1]), thickness
    )


def frame_planes(dataset: Dataset, frames: int) -> list[Plane] | None:
    """A plane for each frame of a multi-frame file, or None where its frames have no positions of their own.

    Read from functional groups (enhanced CT, MR, PET), from GridFrameOffsetVector (RT dose) or, for
    reconstructed nuclear medicine, from the detector's position and SpacingBetweenSlices.
    """
    if value(dataset, "PerFrameFunctionalGroupsSequence") is not None:
        planes = [plane_of(dataset, frame) for frame in range(frames)]
        known = [plane for plane in planes if plane is not None]
        return known if len(known) == frames else None
    first, offsets = plane_of(dataset), numbers(dataset, "GridFrameOffsetVector")
    if first is not None and len(offsets) == frames:
        return [_moved(first, offset - offsets[0]) for offset in offsets]
    detector, step = (
        first_item(dataset, "DetectorInformationSequence"),
        number(dataset, "SpacingBetweenSlices"),
    )
    if detector is None or step is None or "TOMO" not in text(dataset, "ImageType"):
        return None
    position, direction = (
        numbers(detector, "ImagePositionPatient"),
        numbers(detector, "ImageOrientationPatient"),
    )
    spacing = numbers(dataset, "PixelSpacing")
    if len(position) != 3 or len(direction) != 6 or len(spacing) != 2:
        return None
    start = Plane(
        np.array(position), np.array(direction[:3]), np.array(direction[3:]), spacing[0], spacing[1]
    )
    return [_moved(start, step * index) for index in range(frames)]


def _moved(plane: Plane, distance: float) -> Plane:
    return Plane(
        plane.origin + distance * plane.normal,
        plane.along_columns,
        plane.along_rows,
        plane.row_spacing,
        plane.column_spacing,
        plane.thickness,
    )


def flat_geometry(dataset: Dataset, frame: int = 0) -> Geometry:
    """The geometry of one 2-D image: its plane, or at least its spacing with a remark."""
    plane = plane_of(dataset, frame)
    if plane is not None:
        step = plane.normal * (plane.thickness or 1.0)
        affine = plane.affine(step)[:, [1, 2, 0, 3]]
        return Geometry((plane.row_spacing, plane.column_spacing), affine)
    spacing, remarks = flat_spacing(dataset, frame)
    return Geometry(spacing, remarks=remarks)


def flat_spacing(dataset: Dataset, frame: int = 0) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Row and column spacing in millimetres of a projection, ultrasound or plane without position."""
    found = _triple(frame_item(dataset, frame, "PixelMeasuresSequence"), dataset, "PixelSpacing", 2)
    if found is not None and min(found) > 0:
        return (float(found[0]), float(found[1])), ()
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = numbers(dataset, keyword)
        if len(pair) == 2 and min(pair) > 0:
            return (pair[0], pair[1]), (f"spacing is {keyword}, at the detector and not in the patient",)
    regions = value(dataset, "SequenceOfUltrasoundRegions") or []
    if len(regions) == 1 and number(regions[0], "PhysicalUnitsXDirection") == _CENTIMETRES:
        x, y = number(regions[0], "PhysicalDeltaX"), number(regions[0], "PhysicalDeltaY")
        if x and y:
            return (abs(y) * 10.0, abs(x) * 10.0), ()
    return None, ()


def stack(planes: Sequence[Plane]) -> tuple[list[int], Geometry]:
    """The order of slices along the common normal, and the volume's geometry.

    The affine's slice column is `(last − first origin) / (n − 1)`, so that it also says the shear of a tilted
    gantry; `spacing[0]` is that column's length. Where slices lie unevenly, `slice_origins` holds each one's
    place. Tilt and unevenness are told in `remarks`. Raises NotAStack.
    """
    first = planes[0]
    for plane in planes:
        if (
            np.abs(plane.along_columns - first.along_columns).max() > _SAME_DIRECTION
            or np.abs(plane.along_rows - first.along_rows).max() > _SAME_DIRECTION
        ):
            raise NotAStack("slices of different orientations (a localiser, or several stacks)")
        if not np.allclose(
            (plane.row_spacing, plane.column_spacing), (first.row_spacing, first.column_spacing), rtol=1e-3
        ):
            raise NotAStack("slices of different pixel spacing")
    heights = np.array([float(np.dot(plane.origin, first.normal)) for plane in planes])
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    if len(planes) == 1:
        step = first.normal * (first.thickness or 1.0)
        return order, Geometry(_lengths(first, step), first.affine(step), remarks=("a volume of one slice",))
    gaps = np.diff(heights[order])
    places = 1 + int((gaps > _SAME_PLACE).sum())
    if places < len(planes):
        raise NotAStack(
            f"{len(planes)} slices at {places} positions (several times, echoes, phases or segments)"
        )
    origins = np.array([planes[index].origin for index in order])
    lowest = planes[order[0]]
    step = (origins[-1] - origins[0]) / (len(planes) - 1)
    even = origins[0] + step * np.arange(len(planes))[:, np.newaxis]
    off_grid = float(np.linalg.norm(origins - even, axis=1).max())
    remarks = [*_uneven(gaps, off_grid), *_tilt(step, lowest.normal)]
    uneven = off_grid > _tolerance(gaps)
    geometry = Geometry(
        _lengths(lowest, step),
        lowest.affine(step),
        remarks=tuple(remarks),
        slice_origins=origins * _RAS if uneven else None,
    )
    return order, geometry


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


def _triple(group: Dataset | None, dataset: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """`count` finite numbers from a functional group, else from the data set itself, else None."""
    for source in (group, dataset):
        found = numbers(source, keyword) if source is not None else []
        if len(found) == count and np.isfinite(found).all():
            return np.array(found, dtype=np.float64)
    return None
