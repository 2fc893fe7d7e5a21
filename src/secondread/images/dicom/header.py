"""What a DICOM file says of itself, without its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import frame_item, quiet_pydicom, text
from secondread.images.dicom.facts import PERSONS, acquisition_facts, modality_of
from secondread.images.dicom.frames import check_frames
from secondread.images.dicom.geometry import NotAStack, Plane, flat_spacing, frame_planes
from secondread.images.dicom.mosaic import MOSAIC_TAGS, mosaic_planes, mosaic_tiles, tile_size
from secondread.images.dicom.numbers import header_of, numbers, whole_number
from secondread.images.dicom.series import identity_of, name_of_series
from secondread.images.dicom.stack import stack
from secondread.images.dicom.times import TIME_TAGS, frame_times
from secondread.images.header import Header
from secondread.images.image import Geometry, ImageError
from secondread.images.orientation import canonical_stack

if TYPE_CHECKING:
    from pydicom import Dataset

_TAGS = (
    "ImageType",
    "SOPClassUID",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "ViewPosition",
    "ViewCodeSequence",
    "ImageLaterality",
    "Laterality",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "AccessionNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SliceThickness",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "BurnedInAnnotation",
    "SequenceOfUltrasoundRegions",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "GridFrameOffsetVector",
    "SpacingBetweenSlices",
    "DetectorInformationSequence",
    "PatientBirthDate",
    *PERSONS,
    *MOSAIC_TAGS,
    *TIME_TAGS,
)
_WITHOUT_PIXELS = ("RTPLAN", "RTSTRUCT", "SR", "PR", "KO")
_MOST_PLANES = 5000


def read_dicom_header(file: Path, path: str) -> Header:
    """The header of a DICOM file. Raises ImageError, also where a number in it is none."""
    with quiet_pydicom(), header_of(path), file.open("rb") as stream:
        import pydicom
        from pydicom.tag import Tag

        try:
            dataset = pydicom.dcmread(
                stream, force=True, stop_before_pixels=True, specific_tags=[Tag(tag) for tag in _TAGS]
            )
        except RecursionError as error:
            raise ImageError(path, "sequences nested too deeply to be read") from error
        except Exception as error:
            raise ImageError(
                path, "a DICOM file whose elements cannot be parsed", "export it again"
            ) from error
        return _from_dataset(path, dataset)


def _from_dataset(path: str, dataset: Dataset) -> Header:
    facts = acquisition_facts(dataset)
    rows, columns = whole_number(dataset, "Rows", 0), whole_number(dataset, "Columns", 0)
    frames = max(1, whole_number(dataset, "NumberOfFrames", 1))
    check_frames(path, dataset, frames)
    size: tuple[int, ...] = () if not rows or not columns else (rows, columns)
    spacing: tuple[float, ...] = flat_spacing(dataset)[0] or ()
    no_volume, remarks = "", tuple[str, ...]()
    tiles = mosaic_tiles(dataset) if size else None
    planes: list[Plane] | None = None
    if tiles is not None:
        planes, remarks = mosaic_planes(dataset, tiles)
        frames, size = tiles, (tiles, *tile_size(rows, columns, tiles))
    elif size and frames > 1:
        size = (frames, rows, columns)
        try:
            planes = frame_planes(dataset, frames) if frames < _MOST_PLANES else None
        except NotAStack as reason:
            no_volume = str(reason)
    if frames > 1:
        geometry, no_volume = _stacked(planes, size, no_volume)
        remarks = (*geometry.remarks, *remarks)
        if geometry.file_axes is not None:
            size = tuple(size[geometry.file_axes.index(axis)] for axis in range(3))
        spacing = geometry.spacing or ()
    return Header(
        path,
        "dicom",
        size,
        len(size),
        whole_number(dataset, "SamplesPerPixel", 1),
        modality=modality_of(dataset),
        patient_id=text(dataset, "PatientID"),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        accession=text(dataset, "AccessionNumber"),
        series=name_of_series(dataset),
        identity=identity_of(dataset),
        sop_class=text(dataset, "SOPClassUID"),
        image_type=tuple(part for part in text(dataset, "ImageType").upper().split("\\") if part),
        orientation=_group(dataset, "PlaneOrientationSequence", "ImageOrientationPatient", 6),
        position=_group(dataset, "PlanePositionSequence", "ImagePositionPatient", 3),
        spacing=spacing,
        pixel_spacing=_group(dataset, "PixelMeasuresSequence", "PixelSpacing", 2),
        slice_thickness=next(iter(_group(dataset, "PixelMeasuresSequence", "SliceThickness", 1)), None),
        frames=frames,
        frame_times=frame_times(dataset, frames) if tiles is None else (),
        view=facts.get("view", ""),
        laterality=facts.get("laterality", ""),
        body_part=facts.get("body_part", ""),
        manufacturer=facts.get("manufacturer", ""),
        model=facts.get("model", ""),
        burned_in=facts.get("burned_in", ""),
        has_pixels=bool(size) and modality_of(dataset) not in _WITHOUT_PIXELS,
        names=_names(dataset),
        no_volume=no_volume,
        remarks=remarks,
    )


def _stacked(planes: list[Plane] | None, size: tuple[int, ...], no_volume: str) -> tuple[Geometry, str]:
    """The geometry of a file's frames as `read_image` gives it, or why they make no volume."""
    if planes is None:
        return Geometry(), no_volume
    try:
        return canonical_stack(stack(planes)[1], size), no_volume
    except NotAStack as reason:
        return Geometry(), str(reason)


def _group(dataset: Dataset, sequence: str, keyword: str, count: int) -> tuple[float, ...]:
    """Numbers of the first frame's functional group, else of the data set itself."""
    group = frame_item(dataset, 0, sequence)
    found = [] if group is None else numbers(group, keyword, count)
    return tuple(found or numbers(dataset, keyword, count))


def _names(dataset: Dataset) -> tuple[str, ...]:
    """Parts of the patient's name, and the ids, that have three letters or more."""
    found = text(dataset, "PatientName").replace("=", "^").replace(" ", "^").split("^")
    found.append(text(dataset, "PatientID"))
    found.extend(text(dataset, "OtherPatientIDs").split("\\"))
    return tuple(dict.fromkeys(part for part in found if len(part) >= 3))
