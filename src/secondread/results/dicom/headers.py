"""The header of a stored DICOM instance, fit to be carried on into a result."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import DEFLATED_SYNTAX, parse_dicom, text
from secondread.images.first_bytes import format_of, is_dicom
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.source import read_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

CHARACTER_SET = "ISO_IR 192"
"""UTF-8: what results are written in, so that a name in any script of the source arrives."""
NAMED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""What a result refers to its source by."""
CARRIED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
"""Type 2 of the modules Patient and General Study (PS3.3 C.7.1.1, C.7.2.1): they are there, and may be
empty."""
_ALLOWED = {
    "PatientBirthDate": re.compile(r"\d{8}"),
    "PatientSex": re.compile(r"[MFO]"),
    "StudyDate": re.compile(r"\d{8}"),
    "StudyTime": re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?"),
}
_NO_DICOM = (
    "results as DICOM need DICOM files; FHIR, and maps as TIFF, NIfTI and PNG, are there for every image"
)
_START = 1024


def stored_header(path: Path, name: str) -> Dataset:
    """The header of a file, without its pixels, with every element of `CARRIED`; one that is missing, or
    that no valid object can hold, is empty.

    To be called within `quiet_pydicom`. Raises ImageError, which calls the file `name`: it is gone, is no
    DICOM, cannot be parsed, or lacks one of `NAMED`.
    """
    import pydicom

    try:
        with path.open("rb") as stream:
            start = stream.read(_START)
            if not is_dicom(start):
                raise ImageError(name, f"{_what(start)}, no DICOM", _NO_DICOM)
            if DEFLATED_SYNTAX in start:
                limits = ReadLimits()
                header: Dataset = parse_dicom(name, read_bytes(path, limits), limits, pixels=False)
            else:
                stream.seek(0)
                header = pydicom.dcmread(stream, force=True, stop_before_pixels=True)
    except FileNotFoundError as error:
        raise gone(name) from error
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror or 'no reason given'})") from error
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(name, "a DICOM file whose elements cannot be parsed", "export it again") from error
    _complete(header)
    if missing := [keyword for keyword in NAMED if not text(header, keyword)]:
        raise ImageError(
            name,
            f"its header has no {', '.join(missing)}, by which a DICOM result refers to it",
            "export it again",
        )
    return header


def gone(name: str) -> ImageError:
    return ImageError(
        name, "the file that was read is gone", "put it back where it was, or score it where it lies now"
    )


def _what(start: bytes) -> str:
    if not start:
        return "an empty file"
    kind = format_of(start)
    return "a file of no format that is read" if kind is None else f"a {_NAMES.get(kind, kind)} file"


_NAMES = {
    "png": "PNG",
    "jpeg": "JPEG",
    "tiff": "TIFF",
    "bmp": "BMP",
    "nifti": "NIfTI",
    "nrrd": "NRRD",
    "metaimage": "MetaImage",
    "mgh": "MGH",
    "pnm": "PNM",
    "npy": "NumPy array",
    "gif": "GIF",
    "webp": "WebP",
}


def _complete(header: Dataset) -> None:
    meta = getattr(header, "file_meta", None)
    for keyword, stored in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        if meta is not None and not text(header, keyword) and text(meta, stored):
            setattr(header, keyword, meta[stored].value)
    for keyword in CARRIED:
        found = text(header, keyword)
        allowed = _ALLOWED.get(keyword)
        if not found or (allowed is not None and not allowed.fullmatch(found)):
            setattr(header, keyword, "")
