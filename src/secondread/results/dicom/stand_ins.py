"""What highdicom is given in place of the source, and the references that are put right after it.

It takes places from the headers of its source images, in one layout per SOP class, and only where they agree
to the last digit. So it gets a plain single-frame header for each slice of the map, with the place that was
read; then every reference to such a stand-in becomes one to the instance, and the frame, that it stood for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from secondread.images.dicom.dataset import text
from secondread.images.dicom.geometry import Plane
from secondread.results.dicom.source import Source, StoredPlane

if TYPE_CHECKING:
    from pydicom import Dataset

_PLACED, _UNPLACED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"
"""CT image, whose planes have a place, and digital radiograph, whose need none."""
_ROOT = "2.25"
_LEFT_OUT = frozenset(
    {
        "NumberOfFrames",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "FrameOfReferenceUID",
        "PositionReferenceIndicator",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "ImageOrientationSlide",
        "ImageCenterPointCoordinatesSequence",
        "SliceThickness",
        "SpacingBetweenSlices",
        "PixelSpacing",
        "SpecificCharacterSet",
    }
)
_SAID_ONCE = ("StudyInstanceUID", "SeriesInstanceUID")


def stand_ins(source: Source, slices: list[StoredPlane], frame_of_reference: str) -> list[Dataset]:
    """A header for each slice of the map, in its order; without a place where no `frame_of_reference` is
    given."""
    from pydicom import Dataset

    first = _carried(source.headers[0])
    thickness = _thickness([plane.place for plane in slices if plane.place is not None])
    found = [first, *(Dataset() for _ in slices[1:])]
    rows, columns = source.size
    for number, (made, plane) in enumerate(zip(found, slices, strict=True)):
        made.SOPClassUID = _PLACED if frame_of_reference else _UNPLACED
        made.SOPInstanceUID = f"{_ROOT}.{number + 1}"
        made.Rows, made.Columns = rows, columns
        for keyword in _SAID_ONCE:
            setattr(made, keyword, first[keyword].value)
        if frame_of_reference:
            assert plane.place is not None
            assert slices[0].place is not None
            made.FrameOfReferenceUID = frame_of_reference
            made.ImagePositionPatient = _decimals(plane.place.origin)
            made.ImageOrientationPatient = _decimals(
                [*slices[0].place.along_columns, *slices[0].place.along_rows]
            )
            made.PixelSpacing = _decimals([slices[0].place.row_spacing, slices[0].place.column_spacing])
            made.SliceThickness = thickness
    return found


def refer(result: Dataset, source: Source, slices: list[StoredPlane]) -> None:
    """Let a result refer to what its stand-ins stood for: each frame to its instance and frame, the whole to
    every instance that was read."""
    for frame in result.PerFrameFunctionalGroupsSequence:
        for item in frame.DerivationImageSequence[0].SourceImageSequence:
            plane = slices[int(str(item.ReferencedSOPInstanceUID).rpartition(".")[2]) - 1]
            point_at(item, source, plane)
    read = [(header, _frames(source, number)) for number, header in enumerate(source.headers)]
    read += [(header, []) for header in source.beside]
    result.SourceImageSequence = [_reference(header, frames) for header, frames in read]
    study = text(source.headers[0], "StudyInstanceUID")
    result.ReferencedSeriesSequence = _by_series(
        [header for header, _ in read if text(header, "StudyInstanceUID") == study]
    )
    _refer_to_other_studies(result, source.beside, study)


def point_at(item: Dataset, source: Source, plane: StoredPlane) -> None:
    """Let an item of a frame's SourceImageSequence name a plane."""
    header = source.headers[plane.header]
    item.ReferencedSOPClassUID = text(header, "SOPClassUID")
    item.ReferencedSOPInstanceUID = text(header, "SOPInstanceUID")
    if plane.frame is not None:
        item.ReferencedFrameNumber = plane.frame
    item.SpatialLocationsPreserved = "YES" if plane.tile is None else "NO"


def _frames(source: Source, header: int) -> list[int]:
    """The frames of an instance that were read, where they are not all."""
    frames = [plane.frame for plane in source.planes if plane.header == header and plane.frame is not None]
    count = text(source.headers[header], "NumberOfFrames")
    return [] if not frames or str(len(frames)) == count else frames


def _reference(header: Dataset, frames: list[int]) -> Dataset:
    from pydicom import Dataset

    made = Dataset()
    made.ReferencedSOPClassUID = text(header, "SOPClassUID")
    made.ReferencedSOPInstanceUID = text(header, "SOPInstanceUID")
    if frames:
        made.ReferencedFrameNumber = frames
    return made


def _by_series(read: list[Dataset]) -> list[Dataset]:
    from pydicom import Dataset

    series: dict[str, list[Dataset]] = {}
    for header in read:
        series.setdefault(text(header, "SeriesInstanceUID"), []).append(_reference(header, []))
    found = []
    for uid, instances in series.items():
        made = Dataset()
        made.SeriesInstanceUID, made.ReferencedInstanceSequence = uid, instances
        found.append(made)
    return found


def _refer_to_other_studies(result: Dataset, beside: Sequence[Dataset], study: str) -> None:
    from pydicom import Dataset

    others: dict[str, list[Dataset]] = {}
    for header in beside:
        if (uid := text(header, "StudyInstanceUID")) != study:
            others.setdefault(uid, []).append(header)
    found = []
    for uid, read in others.items():
        made = Dataset()
        made.StudyInstanceUID, made.ReferencedSeriesSequence = uid, _by_series(read)
        found.append(made)
    if found:
        result.StudiesContainingOtherReferencedInstancesSequence = found


def _carried(header: Dataset) -> Dataset:
    """The elements of a header that can be read, but for its place and its frames."""
    from pydicom import Dataset

    made = Dataset()
    for tag in list(header.keys()):
        if tag.is_private:
            continue
        try:
            element = header[tag]
        except Exception:  # an element that cannot be understood is of no use to a result either
            continue
        if element.keyword and element.keyword not in _LEFT_OUT:
            made.add(copy.copy(element))
    if text(header, "LossyImageCompression") not in ("00", "01"):
        made.LossyImageCompression = "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in made and not text(header, keyword):
            delattr(made, keyword)
    return made


def _thickness(places: list[Plane]) -> float | None:
    """What the slices say of their thickness, else how far they usually lie apart, millimetres."""
    said = [place.thickness for place in places if place.thickness]
    if said:
        return float(np.median(said))
    if len(places) < 2:
        return None
    heights = np.sort([float(np.dot(place.origin, places[0].normal)) for place in places])
    return float(np.median(np.diff(heights)))


def _decimals(values: object) -> list[str]:
    """Numbers as DICOM's decimal strings of at most 16 characters hold them best."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(one)) for one in np.asarray(values, np.float64)]
