"""What is asked of an instance that arrives: its UIDs, its patient, and the facts that routing asks.

Only the header is read, and of it only the elements that are named here; values of others are passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement

from secondread.errors import DataError
from secondread.images.dicom.dataset import first_item, parse_dicom, text
from secondread.images.dicom.facts import LATERALITIES, PERSONS, cleaned, modality_of, persons_of
from secondread.images.dicom.numbers import HeaderValueError, whole_number
from secondread.images.dicom.views import coded_view
from secondread.images.first_bytes import is_dicom
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.results.dicom.body_part import UNPAIRED
from secondread.results.dicom.identity import KINDS, MAKER

if TYPE_CHECKING:
    from pydicom import Dataset

Use = Literal["image", "result", "no image"]
DEFLATED = "1.2.840.10008.1.2.1.99"
LONGEST_HEADER = 256 * 2**20
"""Bytes that may be read of one header, and at once."""
UNPACKED = ReadLimits(max_bytes=2**29)
"""What a deflated data set may grow to, since all of it has to be unpacked for its header."""
_TAGS = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID SeriesDescription StudyDate
    StudyDescription AccessionNumber Modality Manufacturer ManufacturerModelName StationName
    DeviceSerialNumber PatientBirthDate PatientSex PatientAge BodyPartExamined AnatomicRegionSequence
    ViewPosition ViewCodeSequence ImageLaterality Laterality Rows Columns
"""
_ASKED = [*_TAGS.split(), *PERSONS]
_NUMBERS: list[int] = [int(number) for tag in _ASKED if (number := tag_for_keyword(tag)) is not None]
_OWN_UIDS = frozenset({0x00080018, 0x0020000D, 0x0020000E})
_KEPT = 64
_seen: dict[tuple[object, ...], Told] = {}
"""What was made of the latest headers: all instances of a series say the same, but for their UIDs."""
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_DATE = re.compile(r"\d{8}")
_AGE = re.compile(r"(\d{3})([DWMY])")
_IN_A_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_NO_IMAGE = frozenset({"SR", "PR", "KO", "SEG", "REG", "RWV", "DOC", "AU", "ECG", "FID", "PLAN", "ASMT"})
"""Modalities of objects that say something of images, whether or not they hold pixels."""
_DERIVED = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
    }
)
_OWN = frozenset(description for _, description in KINDS.values())
_LONGEST_TEXT = 400


class NotUnderstood(DataError):
    """What was sent is no DICOM instance that can be kept. `kind`: `header`, `uid`."""

    def __init__(self, reason: str, kind: str = "header") -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Told:
    """What a header says.

    use      `image` is scored; `result` is one that secondread made, which came back; `no image` is an
             object without pixels, or that was derived from images: both are kept and never scored
    study    columns of `study` that say who and what it is of
    facts    `modality`, `body_part`, `view`, `laterality`, `age` in years, `manufacturer`, `model`,
             `station` and `scanner` as hashes, `use`, what the header does not say is not
             there
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    use: Use
    study: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)


def read_header(stream: BinaryIO) -> Told:
    """What a file of the DICOM format says, without its pixels.

    To be called within `quiet_pydicom`. Raises NotUnderstood, whose text has no word of the header.
    """
    header = _parsed(stream)
    uids = [_uid(header, name) for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]
    key = _same_in_many(header)
    found = None if key is None else _seen.get(key)
    if found is None:
        found = _told(header)
        if key is not None:
            while len(_seen) >= _KEPT:
                with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                    del _seen[next(iter(_seen))]
            _seen[key] = found
    return replace(found, sop_instance_uid=uids[0], study_uid=uids[1], series_uid=uids[2])


def _same_in_many(header: Dataset) -> tuple[object, ...] | None:
    """The bytes of all that is asked but for UIDs; None where some are sequences."""
    found = []
    for element in header.values():
        if not isinstance(element, RawDataElement):
            return None
        if int(element.tag) not in _OWN_UIDS:
            found.append((int(element.tag), element.value))
    return tuple(found)


def _parsed(stream: BinaryIO) -> Dataset:
    start = stream.read(1024)
    stream.seek(0)
    if not is_dicom(start):
        raise NotUnderstood("not a file of the DICOM format")
    if DEFLATED.encode() in start:
        try:
            return parse_dicom("instance", stream.read(), UNPACKED, tags=_ASKED, pixels=False)
        except ImageError:
            raise NotUnderstood("the deflated data set cannot be read") from None
    try:
        return pydicom.dcmread(_Bounded(stream), force=True, stop_before_pixels=True, specific_tags=_NUMBERS)
    except NotUnderstood:
        raise
    except RecursionError:
        raise NotUnderstood("sequences nested too deeply to be read") from None
    except Exception:
        raise NotUnderstood("its elements cannot be parsed") from None


def _told(header: Dataset) -> Told:
    uids = {
        name: _uid(header, name)
        for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    }
    persons = persons_of(header)
    facts: dict[str, Any] = {"modality": modality_of(header), "body_part": _body_part(header, persons)}
    facts["view"] = cleaned(text(header, "ViewPosition"), persons).upper() or coded_view(header)
    facts["laterality"] = _side(header)
    for name, keyword in (("manufacturer", "Manufacturer"), ("model", "ManufacturerModelName")):
        facts[name] = cleaned(text(header, keyword), persons)
    facts = {name: found for name, found in facts.items() if found}
    if (age := _age(header)) is not None:
        facts["age"] = age
    station, serial = text(header, "StationName"), text(header, "DeviceSerialNumber")
    maker, model = text(header, "Manufacturer"), text(header, "ManufacturerModelName")
    if station:
        facts["station"] = hashed(station)
    if maker or model or station or serial:
        facts["scanner"] = hashed(maker, model, station, serial)
    facts["use"] = _use(header, facts.get("modality", ""))
    return Told(
        uids["SOPClassUID"],
        uids["SOPInstanceUID"],
        uids["StudyInstanceUID"],
        uids["SeriesInstanceUID"],
        facts["use"],
        {
            "patient_id": _plain(header, "PatientID"),
            "patient_name": _plain(header, "PatientName"),
            "birth_date": _plain(header, "PatientBirthDate"),
            "sex": _plain(header, "PatientSex"),
            "accession": _plain(header, "AccessionNumber"),
            "study_date": _plain(header, "StudyDate"),
            "description": _plain(header, "StudyDescription"),
            "modality": facts.get("modality", ""),
        },
        facts,
    )


def hashed(*parts: str) -> str:
    """Sixteen hexadecimal digits that tell machines apart and name none."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_uid(found: str) -> bool:
    return len(found) <= 64 and _UID.fullmatch(found) is not None


def _uid(header: Dataset, keyword: str) -> str:
    number = tag_for_keyword(keyword)
    element = None if number is None or number not in header else header.get_item(number)
    value = None if element is None else element.value
    found = (value.decode("latin-1") if isinstance(value, bytes) else str(value or "")).strip(" \0")
    if not is_uid(found):
        raise NotUnderstood(f"its {keyword} is missing or no UID", "uid")
    return found


def _plain(header: Dataset, keyword: str) -> str:
    """An element as a database takes it: without NUL and halves of surrogates, and not too long."""
    found = text(header, keyword).replace("\0", "")
    return found.encode("utf-8", "replace").decode("utf-8")[:_LONGEST_TEXT].strip()


def _side(header: Dataset) -> str:
    sides = (text(header, keyword).upper() for keyword in ("ImageLaterality", "Laterality"))
    return next((side for side in sides if side in LATERALITIES), "")


def _body_part(header: Dataset, persons: frozenset[str]) -> str:
    """As BodyPartExamined says it, or where only a code's meaning does, in the words of that element."""
    if said := cleaned(text(header, "BodyPartExamined"), persons).upper():
        return said
    try:
        item = first_item(header, "AnatomicRegionSequence")
    except HeaderValueError:
        return ""
    said = "" if item is None else text(item, "CodeMeaning").upper().replace(" ", "")
    return said if said in UNPAIRED else ""


def _age(header: Dataset) -> float | None:
    """In years, at the study: as it is said, else from the dates."""
    if (said := _AGE.fullmatch(text(header, "PatientAge").upper())) is not None and int(said[1]):
        return round(int(said[1]) / _IN_A_YEAR[said[2]], 2)
    born, taken = text(header, "PatientBirthDate"), text(header, "StudyDate")
    if not _DATE.fullmatch(born) or not _DATE.fullmatch(taken):
        return None
    months = 12 * (int(taken[:4]) - int(born[:4])) + int(taken[4:6]) - int(born[4:6])
    months -= int(taken[6:]) < int(born[6:])
    return round(months / 12, 2) if 0 <= months <= 1800 else None


def _use(header: Dataset, modality: str) -> Use:
    if text(header, "Manufacturer") == MAKER and text(header, "SeriesDescription").startswith(tuple(_OWN)):
        return "result"
    try:
        has_size = whole_number(header, "Rows", 0) > 0 and whole_number(header, "Columns", 0) > 0
    except HeaderValueError:
        has_size = False
    derived = modality in _NO_IMAGE or modality.startswith("RT") or text(header, "SOPClassUID") in _DERIVED
    return "image" if has_size and not (derived and modality != "RTIMAGE") else "no image"


class _Bounded(io.RawIOBase):
    """A file of which only so much is read: a header that says of an element that it has 4 GB costs
    nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, LONGEST_HEADER

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            raise NotUnderstood("its header is larger than any header")
        self._left -= size
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
