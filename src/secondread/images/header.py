"""What a file says of itself, without its pixels: for indexing and checking."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.images.dicom_dataset import (
    frame_item,
    number,
    numbers,
    quiet_pydicom,
    said,
    text,
)
from secondread.images.image import ImageError
from secondread.images.limits import LARGEST_DEFLATE_RATIO, ReadLimits
from secondread.images.refusal import refusing

if TYPE_CHECKING:
    from pydicom import Dataset

    from secondread.images.dicom_geometry import Plane

_START = 1 << 16
_HEADER_TAGS = [
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "BodyPartExamined",
    "ViewPosition",
    "ImageLaterality",
    "Laterality",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SeriesNumber",
    "InstanceNumber",
    "AcquisitionNumber",
    "EchoNumbers",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "BurnedInAnnotation",
    "PatientSex",
    "PatientAge",
    "InstitutionName",
    "SequenceOfUltrasoundRegions",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "GridFrameOffsetVector",
]


@dataclass(frozen=True)
class Header:
    """A file's header. Ids and names are as in the file: only what indexes sees them, and hashes them.

    kind         "dicom", "nifti", "png", "jpeg", "tiff" or "npz"
    size         rows and columns, or slices, rows and columns; () where the file holds no image by itself
    (npz) rank         2 or 3 as `read_image` would give it; 0 where the file holds no image
    position, orientation   DICOM's LPS numbers as in the file, () where missing
    spacing      millimetres along each axis of `size`, () where not said
    names        parts of the patient's name and id that must not stand in a path
    instance     SOPInstanceUID; `series_number`, `acquisition`, `echo` tell stacks within a series apart
    """

    path: str
    kind: str
    size: tuple[int, ...] = ()
    rank: int = 0
    channels: int = 1
    modality: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    instance: str = ""
    frame_of_reference: str = ""
    series_number: str = ""
    acquisition: str = ""
    echo: str = ""
    sop_class: str = ""
    image_type: tuple[str, ...] = ()
    orientation: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    spacing: tuple[float, ...] = ()
    slice_thickness: float | None = None
    frames: int = 1
    view: str = ""
    laterality: str = ""
    body_part: str = ""
    manufacturer: str = ""
    model: str = ""
    sex: str = ""
    age: str = ""
    burned_in: str = ""
    has_pixels: bool = True
    names: tuple[str, ...] = field(default=(), repr=False)


def read_header(path: str | Path) -> Header:
    """The header of a file, read from its beginning; pixels are not decoded. Raises ImageError."""
    name = str(path)
    with refusing(name, "a header that cannot be read"):
        if not Path(path).is_file():
            missing = "not a regular file" if Path(path).exists() else "no such file"
            raise ImageError(name, missing)
        with open(path, "rb") as stream:
            start = stream.read(_START)
            file_bytes = os.fstat(stream.fileno()).st_size
        kind = _kind(name, start)
        if kind == "dicom":
            return _dicom_header(Path(path), name)
        if kind == "nifti":
            return _nifti_header(name, start, file_bytes)
        if kind == "npz":
            return Header(name, "npz", has_pixels=False)
        return _picture_header(Path(path), name, kind, start)


def _kind(path: str, start: bytes) -> str:
    from secondread.images.read import format_of, what_else

    if not start:
        raise ImageError(path, "the file is empty (0 bytes)", "copy or export it again")
    kind = format_of(start)
    if kind is None:
        raise ImageError(path, what_else(start), "DICOM, NIfTI, PNG, JPEG, TIFF and .npz are read")
    return kind


def _picture_header(file: Path, path: str, kind: str, start: bytes) -> Header:
    from secondread.images.turn import ORIENTATION_TAG, turn_asked_by, turn_of

    if kind == "png":
        from PIL import PngImagePlugin

        from secondread.images.png_stream import may_ask_for_a_turn, png_header

        stated = png_header(start)
        turn = None
        with file.open("rb") as stream:
            if may_ask_for_a_turn(stream):
                stream.seek(0)
                with PngImagePlugin.PngImageFile(stream) as picture:
                    turn = turn_asked_by(picture)
        size = (stated.rows, stated.columns) if turn is None else turn.size(stated.rows, stated.columns)
        return Header(path, kind, size, 2, 3 if stated.colour in (2, 3, 6) else 1)
    if kind == "jpeg":
        from PIL import JpegImagePlugin

        with JpegImagePlugin.JpegImageFile(file) as picture:
            turn = turn_asked_by(picture)
            rows, columns = picture.height, picture.width
            size = (rows, columns) if turn is None else turn.size(rows, columns)
            return Header(path, kind, size, 2, len(picture.getbands()))
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        count = len(tiff.pages)
        page: Any = tiff.pages[0]
        rows, columns = int(page.imagelength), int(page.imagewidth)
        tag = page.tags.get(ORIENTATION_TAG)
        turn = None if tag is None else turn_of(int(tag.value))
        plane = (rows, columns) if turn is None else turn.size(rows, columns)
        count *= int(page.imagedepth)
        whole = plane if count == 1 else (count, *plane)
        return Header(path, kind, whole, len(whole), int(page.samplesperpixel))


def _nifti_header(path: str, start: bytes, file_bytes: int) -> Header:
    import numpy as np

    from secondread.images.gzipped import GZIP_MAGIC, gunzip_start
    from secondread.images.nifti import canonical_axes
    from secondread.images.nifti_header import HEADER_BYTES, nifti_header

    header = nifti_header(path, gunzip_start(start, HEADER_BYTES) if start[:2] == GZIP_MAGIC else start)
    header.first_byte(path)
    grid = header.grid
    if header.volumes != 1:
        least = math.prod(grid) * header.dtype.itemsize
        room = file_bytes * (LARGEST_DEFLATE_RATIO if start[:2] == GZIP_MAGIC else 1)
        ReadLimits().check_count(path, header.volumes, "volumes", least_bytes=least, file_bytes=room)
    zooms = np.linalg.norm(header.affine[:3, :3], axis=0)
    axes, _ = canonical_axes(header.affine)
    order = [axes.index(axis) for axis in range(3)]
    kept = [axis for axis in order if grid[axis] > 1] if 1 in grid else order
    size, spacing = tuple(grid[axis] for axis in kept), tuple(float(zooms[axis]) for axis in kept)
    return Header(path, "nifti", size, len(size), spacing=spacing, frames=header.volumes)


def _dicom_header(file: Path, path: str) -> Header:
    with quiet_pydicom(), file.open("rb") as stream:
        import pydicom

        try:
            dataset = pydicom.dcmread(
                stream, force=True, stop_before_pixels=True, specific_tags=list(_HEADER_TAGS)
            )
        except RecursionError as error:
            raise ImageError(path, "sequences nested too deeply to be read") from error
        except Exception as error:
            raise ImageError(
                path, f"a DICOM file that cannot be parsed ({said(error)})", "export it again"
            ) from error
        return _from_dataset(path, dataset)


def _from_dataset(path: str, dataset: Dataset) -> Header:
    from secondread.images.dicom_facts import acquisition_facts
    from secondread.images.dicom_frames import check_frames
    from secondread.images.dicom_geometry import flat_spacing, frame_planes

    facts = acquisition_facts(dataset)
    rows, columns = int(number(dataset, "Rows") or 0), int(number(dataset, "Columns") or 0)
    frames = max(1, int(number(dataset, "NumberOfFrames") or 1))
    check_frames(path, dataset, frames)
    size: tuple[int, ...] = () if not rows or not columns else (rows, columns)
    if size and frames > 1:
        size = (frames, *size)
    spacing, _ = flat_spacing(dataset)
    spacings: tuple[float, ...] = spacing or ()
    if frames > 1:
        planes = frame_planes(dataset, frames) if frames < 5000 else None
        apart = _apart(planes) if planes else None
        spacings = (apart, *spacing) if spacing and apart else ()
    return Header(
        path,
        "dicom",
        size,
        len(size),
        int(number(dataset, "SamplesPerPixel") or 1),
        modality=text(dataset, "Modality"),
        patient_id=text(dataset, "PatientID"),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        instance=text(dataset, "SOPInstanceUID"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        series_number=text(dataset, "SeriesNumber"),
        acquisition=text(dataset, "AcquisitionNumber"),
        echo=text(dataset, "EchoNumbers"),
        sop_class=text(dataset, "SOPClassUID"),
        image_type=tuple(part for part in text(dataset, "ImageType").split("\\") if part),
        orientation=tuple(numbers(dataset, "ImageOrientationPatient"))
        or _group(dataset, "PlaneOrientationSequence"),
        position=tuple(numbers(dataset, "ImagePositionPatient")) or _group(dataset, "PlanePositionSequence"),
        spacing=spacings,
        slice_thickness=number(dataset, "SliceThickness"),
        frames=frames,
        view=facts.get("view", ""),
        laterality=facts.get("laterality", ""),
        body_part=facts.get("body_part", ""),
        manufacturer=facts.get("manufacturer", ""),
        model=facts.get("model", ""),
        sex=text(dataset, "PatientSex"),
        age=text(dataset, "PatientAge"),
        burned_in=facts.get("burned_in", ""),
        has_pixels=bool(size) and text(dataset, "Modality") not in ("RTPLAN", "RTSTRUCT", "SR", "PR", "KO"),
        names=_names(dataset),
    )


def _apart(planes: list[Plane]) -> float | None:
    import numpy as np

    steps = np.linalg.norm(np.diff([plane.origin for plane in planes], axis=0), axis=1)
    return float(np.median(steps)) or None


def _group(dataset: Dataset, sequence: str) -> tuple[float, ...]:
    group = frame_item(dataset, 0, sequence)
    keyword = "ImagePositionPatient" if "Position" in sequence else "ImageOrientationPatient"
    return () if group is None else tuple(numbers(group, keyword))


def _names(dataset: Dataset) -> tuple[str, ...]:
    """Parts of the patient's name, and the ids, that have three letters or more."""
    found = text(dataset, "PatientName").replace("=", "^").replace(" ", "^").split("^")
    found.append(text(dataset, "PatientID"))
    found.extend(text(dataset, "OtherPatientIDs").split("\\"))
    return tuple(dict.fromkeys(part for part in found if len(part) >= 3))
