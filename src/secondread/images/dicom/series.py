"""Which files below a folder are the slices of which DICOM series. Only headers are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.images.dicom.dataset import quiet_pydicom, text
from secondread.images.dicom.facts import modality_of, sop_classes
from secondread.images.dicom.geometry import Plane
from secondread.images.dicom.stack import slices_missing_inside
from secondread.images.first_bytes import format_of, is_dicom, looks_like_text
from secondread.images.image import ImageError
from secondread.wording.lists import few

if TYPE_CHECKING:
    from pydicom import Dataset

SLICE_MODALITIES = frozenset({"CT", "MR", "PT"})
SERIES_TAGS = (
    "SOPClassUID",
    "Modality",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Rows",
    "Columns",
)
_START = 4096
Identity = tuple[str, str, str, str]
"""What tells patients and studies apart: PatientID, name, date of birth, StudyInstanceUID; empty = not
said."""
_IDENTIFIED_BY = ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")


class SlicesLost(Exception):
    """Slices inside a volume are missing, and files that may have been them cannot be read."""


@dataclass(frozen=True)
class Unread:
    """A file that seems to be a slice and cannot be read: what is left of its series' UID, and why."""

    path: Path
    series_uid: str
    problem: str


@dataclass(frozen=True)
class Series:
    """One series below a folder: `key` is what `folder#key` is written with.

    unread  files in the folders of its slices, named alike, that seem to be slices and cannot be read
    """

    key: str
    modality: str
    files: tuple[Path, ...]
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True)
class _Slice:
    path: Path
    name: str
    modality: str
    has_uid: bool


def series_key(series_name: str) -> str:
    """The first 12 hex digits of the BLAKE2b hash of a series' name (see `series_name`)."""
    return hashlib.blake2b(series_name.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def series_name(uid: str, patient: str, study: str, number: str, modality: str) -> str:
    """What the files of one series share: the SeriesInstanceUID; where it is missing, patient, study, series
    number and modality together."""
    return uid or "\0".join(("no uid", patient, study, number, modality))


def series_in_folder(folder: str | Path) -> list[Series]:
    """The series whose image files lie in a folder or below it, by key; hidden files are passed over.

    Files without a SeriesInstanceUID count only directly in the folder. Raises ImageError where the folder
    cannot be listed; files that are no DICOM images are passed over.
    """
    found: dict[str, list[_Slice]] = {}
    unread: list[Unread] = []
    for path in files_below(Path(folder)):
        one = look_at(path)
        if isinstance(one, Unread):
            unread.append(one)
        elif one is not None and (one.has_uid or path.parent == Path(folder)):
            found.setdefault(one.name, []).append(one)
    return sorted(
        (
            Series(
                series_key(name),
                slices[-1].modality,
                tuple(one.path for one in slices),
                tuple(unread_beside([one.path for one in slices], slices[0].name, unread)),
            )
            for name, slices in found.items()
        ),
        key=lambda series: series.key,
    )


def unread_beside(slices: Sequence[Path], name: str, unread: Iterable[Unread]) -> Iterator[Unread]:
    """The unread files that may have been slices of a series: in the folder of one, named with an ending that
    one has, and with a series UID that says no other series."""
    folders = {path.parent for path in slices}
    endings = {path.suffix.lower() for path in slices}
    for one in unread:
        if (
            one.path.parent in folders
            and one.path.suffix.lower() in endings
            and name.startswith(one.series_uid)
        ):
            yield one


def about_unread(planes: Sequence[Plane], unread: Sequence[Unread]) -> tuple[str, ...]:
    """What is to be said of files beside the slices that cannot be read. Raises SlicesLost where slices are
    missing inside, too."""
    if not unread:
        return ()
    names = f"{few([one.path.name for one in unread], 3)}: {unread[0].problem}"
    if missing := slices_missing_inside(planes):
        raise SlicesLost(f"slices missing inside: {missing}, and files beside them cannot be read ({names})")
    return (f"unreadable files beside the slices ({names}): slices at an end may be missing",)


def look_at(path: Path) -> _Slice | Unread | None:
    """A file's part in a series: a slice; a file that seems to be one and cannot be read; or None.

    Empty files, files of zeros, files of no known format, and DICOM files whose header ends before the size
    of the image seem to be slices, unless they say that they hold something else than CT, MR or PET. Text,
    reports, pictures and the like do not.
    """
    import pydicom
    from pydicom.uid import UID_dictionary

    try:
        with path.open("rb") as stream, quiet_pydicom():
            start = stream.read(_START)
            if not start.strip(b"\0"):
                told = "it holds nothing but zeros" if start else "it is empty"
                return Unread(path, "", told)
            if format_of(start) is None and not looks_like_text(start):
                return Unread(path, "", "it is of no format that is read")
            if not is_dicom(start):
                return None
            stream.seek(0)
            dataset = pydicom.dcmread(
                stream, force=True, stop_before_pixels=True, specific_tags=list(SERIES_TAGS)
            )
            modality, uid = modality_of(dataset), text(dataset, "SeriesInstanceUID")
            if not text(dataset, "Rows") or not text(dataset, "Columns"):
                known = modality or any(uid in UID_dictionary for uid in sop_classes(dataset))
                cut = modality in SLICE_MODALITIES if known else True
                return Unread(path, uid, "its header is cut short") if cut else None
            return _Slice(path, name_of_series(dataset), modality, bool(uid))
    except OSError:
        return Unread(path, "", "it cannot be opened")
    except Exception:
        return Unread(path, "", "its header cannot be parsed")


def unread_slice(path: str) -> Unread | None:
    """The file where it seems to be a slice and cannot be read (see `look_at`), else None."""
    found = look_at(Path(path))
    return found if isinstance(found, Unread) else None


def name_of_series(dataset: Dataset) -> str:
    """`series_name` of a data set."""
    return series_name(
        text(dataset, "SeriesInstanceUID"),
        text(dataset, "PatientID"),
        text(dataset, "StudyInstanceUID"),
        text(dataset, "SeriesNumber"),
        modality_of(dataset),
    )


def identity_of(dataset: Dataset) -> Identity:
    """Whose the image is, as the header says it; of a name, capitals and empty parts do not count."""
    name = text(dataset, "PatientName").partition("=")[0]
    name = " ".join(name.replace("^", " ").split()).casefold()
    return (
        text(dataset, "PatientID"),
        name,
        text(dataset, "PatientBirthDate"),
        text(dataset, "StudyInstanceUID"),
    )


def why_not_one_patient(identities: Iterable[Sequence[str]]) -> str:
    """Why slices are not all of one patient and study; empty where nothing in the headers says so.

    A value that a slice leaves out contradicts none.
    """
    columns = zip(*identities, strict=True)
    for keyword, values in zip(_IDENTIFIED_BY, columns, strict=False):
        count = len(set(values) - {""})
        if count > 1:
            whose = "studies" if keyword == "StudyInstanceUID" else "patients"
            return f"slices of {count} {whose} under one series ({keyword} differs)"
    return ""


def files_below(folder: Path) -> list[Path]:
    """The files in a folder and below it that a series may have, in order; hidden ones are passed over, links
    are followed, each folder once. Raises ImageError where the folder cannot be listed."""

    def refuse(error: OSError) -> None:
        if Path(error.filename or folder) == folder:
            raise ImageError(
                str(folder), f"cannot be listed ({error.strerror or 'no reason given'})"
            ) from error

    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders[:] = []
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())
