"""Where DICOM slices lie in the patient (PS3.3 C.7.6.2): the planes of files and frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.images.dicom.dataset import first_item, frame_item, text, value
from secondread.images.dicom.numbers import HeaderValueError, number, numbers
from secondread.images.image import Geometry

if TYPE_CHECKING:
    from pydicom import Dataset

RAS = np.array([-1.0, -1.0, 1.0])
"""From LPS, as DICOM has it, to RAS+ millimetres."""
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
        matrix[:3] *= RAS[:, np.newaxis]
        return matrix


def plane_of(dataset: Dataset, frame: int = 0) -> Plane | None:
    """The plane of a file or frame; None where position, orientation or spacing is not said.

    Raises HeaderValueError where one of them is there and cannot be read.
    """
    position = _several(
        frame_item(dataset, frame, "PlanePositionSequence"), dataset, "ImagePositionPatient", 3
    )
    direction = _several(
        frame_item(dataset, frame, "PlaneOrientationSequence"), dataset, "ImageOrientationPatient", 6
    )
    measures = frame_item(dataset, frame, "PixelMeasuresSequence")
    spacing = _several(measures, dataset, "PixelSpacing", 2)
    thickness = number(measures if measures is not None else dataset, "SliceThickness")
    if not position or not direction or not spacing:
        return None
    return plane_from(position, direction, spacing, thickness)


def plane_from(
    position: Sequence[float],
    direction: Sequence[float],
    spacing: Sequence[float],
    thickness: float | None = None,
) -> Plane | None:
    """The plane that a header's numbers say; None where the spacing is not above zero, or where the two
    directions are no perpendicular axes."""
    if min(spacing) <= 0:
        return None
    along = np.asarray(direction, dtype=np.float64)
    columns, rows = along[:3], along[3:]
    lengths = np.linalg.norm(columns), np.linalg.norm(rows)
    if min(lengths) < 0.5 or abs(float(np.dot(columns, rows))) > 0.05:
        return None
    return Plane(
        np.asarray(position, dtype=np.float64),
        columns / lengths[0],
        rows / lengths[1],
        float(spacing[0]),
        float(spacing[1]),
        thickness,
    )


def frame_planes(dataset: Dataset, frames: int) -> list[Plane] | None:
    """A plane for each frame of a multi-frame file, or None where its frames have no positions of their own.

    Read from functional groups (enhanced CT, MR, PET), from GridFrameOffsetVector (RT dose) or, for
    reconstructed nuclear medicine, from the detector's position and SpacingBetweenSlices. Raises NotAStack
    where only some frames have a position, and HeaderValueError.
    """
    groups = value(dataset, "PerFrameFunctionalGroupsSequence")
    if groups is not None:
        if len(groups) != frames:
            raise HeaderValueError(f"the header has functional groups for {len(groups)} of {frames} frames")
        planes = [plane_of(dataset, frame) for frame in range(frames)]
        known = [plane for plane in planes if plane is not None]
        if known and len(known) < frames:
            raise NotAStack(f"only {len(known)} of {frames} frames have a position")
        return known or None
    first, offsets = plane_of(dataset), numbers(dataset, "GridFrameOffsetVector")
    if first is not None and len(offsets) == frames:
        return [moved(first, offset - offsets[0]) for offset in offsets]
    detector, step = (
        first_item(dataset, "DetectorInformationSequence"),
        number(dataset, "SpacingBetweenSlices"),
    )
    if detector is None or step is None or "TOMO" not in text(dataset, "ImageType").upper():
        return None
    start = plane_from(
        numbers(detector, "ImagePositionPatient", 3) or [np.nan] * 3,
        numbers(detector, "ImageOrientationPatient", 6) or [0.0] * 6,
        numbers(dataset, "PixelSpacing", 2) or [0.0] * 2,
    )
    if start is None or not np.isfinite(start.origin).all():
        return None
    return [moved(start, step * index) for index in range(frames)]


def moved(plane: Plane, distance: float) -> Plane:
    """The plane `distance` millimetres further along its normal."""
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
        return plane_geometry(plane)
    spacing, remarks = flat_spacing(dataset, frame)
    return Geometry(spacing, remarks=remarks)


def plane_geometry(plane: Plane) -> Geometry:
    """The geometry of a 2-D image on a plane."""
    step = plane.normal * (plane.thickness or 1.0)
    affine = plane.affine(step)[:, [1, 2, 0, 3]]
    return Geometry((plane.row_spacing, plane.column_spacing), affine)


def flat_spacing(dataset: Dataset, frame: int = 0) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Row and column spacing in millimetres of a projection, ultrasound or plane without position."""
    found = _several(frame_item(dataset, frame, "PixelMeasuresSequence"), dataset, "PixelSpacing", 2)
    if found and min(found) > 0:
        return (float(found[0]), float(found[1])), ()
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = numbers(dataset, keyword, 2)
        if pair and min(pair) > 0:
            return (pair[0], pair[1]), (f"spacing is {keyword}, at the detector and not in the patient",)
    regions = value(dataset, "SequenceOfUltrasoundRegions") or []
    if len(regions) == 1 and number(regions[0], "PhysicalUnitsXDirection") == _CENTIMETRES:
        x, y = number(regions[0], "PhysicalDeltaX"), number(regions[0], "PhysicalDeltaY")
        if x and y:
            return (abs(y) * 10.0, abs(x) * 10.0), ()
    return None, ()


def _several(group: Dataset | None, dataset: Dataset, keyword: str, count: int) -> list[float]:
    """`count` numbers from a functional group, else from the data set itself; empty where neither has
    them."""
    found = numbers(group, keyword, count) if group is not None else []
    return found or numbers(dataset, keyword, count)
