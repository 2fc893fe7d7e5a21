"""Readings gathered to the studies that their images were taken in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from secondread.errors import DataError
from secondread.images.dicom.dataset import text
from secondread.images.first_bytes import is_dicom
from secondread.images.image import ImageError
from secondread.images.several_files import files_of
from secondread.images.source import Reference
from secondread.readings.reading import Reading
from secondread.readings.readings import Readings
from secondread.results.dicom.quiet import quiet_writing
from secondread.results.dicom.source import Source, read_source
from secondread.wording.short import Short

_START = 1024


@dataclass(frozen=True, repr=False)
class ImageRead(Short):
    """One reading, and the instances that it was made of; None where there are none, or where they are not
    known because the file could not be read."""

    reading: Reading
    source: Source | None


@dataclass(frozen=True, repr=False)
class Study(Short):
    """The readings of one study, or one image that belongs to none.

    uid      StudyInstanceUID; empty where it is not of DICOM
    images   in the readings' order
    studies  the readings of studies, as the manifest names them, whose worst image is here
    """

    uid: str
    images: tuple[ImageRead, ...]
    studies: tuple[Reading, ...] = ()

    @property
    def first(self) -> Source:
        return next(image.source for image in self.images if image.source is not None)


@dataclass(frozen=True, repr=False)
class Group(Short):
    """The readings of a study before their headers are held.

    uid   StudyInstanceUID; empty where it is not of DICOM
    key   what tells it from others
    """

    uid: str
    key: str
    rows: tuple[Reading, ...]

    @property
    def name(self) -> str:
        """Of its folder or file: a hash, so that no id of a study stands in a path."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True, repr=False)
class Grouped(Short):
    """Studies in the order of their first image, and the images that belong to none, with the reason."""

    groups: tuple[Group, ...]
    without: tuple[tuple[Reading, str], ...]


def grouped(readings: Readings, *, others: bool = False) -> Grouped:
    """The studies of readings, by the StudyInstanceUID in the headers of their files. Where its headers name
    several patients, the images of each are a study of their own, so that no result tells of another's.

    others  images of other formats are gathered by the study id that the manifest gives, and without one
            stand alone; else they are left out, as are images whose file is gone

    An image that could not be read belongs to the study that its header names, else to the one of images with
    its study id.
    """
    found: dict[str, list[Reading]] = {}
    patients: dict[str, list[str]] = {}
    of_id: dict[str, str] = {}
    lost: list[tuple[Reading, str]] = []
    beside: dict[str, list[Reading]] = {}
    with quiet_writing():
        for reading in readings.rows:
            if others and not _of_dicom(readings, reading):
                key = f"study id {reading.study_id}" if reading.study_id else f"path {reading.path}"
                beside.setdefault(key, []).append(reading)
                continue
            try:
                source = read_source(readings.reference(reading))
            except DataError as error:
                lost.append((reading, str(error)))
                continue
            uid, patient = (
                str(source.headers[0].StudyInstanceUID),
                text(source.headers[0], "PatientID").strip(),
            )
            named = patients.setdefault(uid, [])
            if patient and patient not in named:
                named.append(patient)
            key = uid if patient in ("", *named[:1]) else f"{uid}\0{patient}"
            found.setdefault(key, []).append(reading)
            of_id.setdefault(reading.study_id, key)
    without = []
    for reading, why in lost:
        key = of_id.get(reading.study_id, "") if reading.failed and reading.study_id else ""
        if key:
            found[key].append(reading)
        else:
            without.append((reading, why))
    groups = [Group(key.partition("\0")[0], key, tuple(rows)) for key, rows in found.items()]
    groups += [Group("", key, tuple(rows)) for key, rows in beside.items()]
    return Grouped(tuple(groups), tuple(without))


def study_of(group: Group, readings: Readings) -> Study:
    """A study with the headers of what was read.

    Raises DataError where a file is gone or was changed since it was read, unless it could not be read then.
    """
    with quiet_writing():
        images = tuple(
            ImageRead(reading, _source(reading, readings) if group.uid else None) for reading in group.rows
        )
    rows = (readings.studies.get(reading.path) for reading in group.rows)
    return Study(group.uid, images, tuple(row for row in rows if row is not None))


def _source(reading: Reading, readings: Readings) -> Source | None:
    fingerprint = readings.fingerprints.get(reading.path, "")
    try:
        return read_source(readings.reference(reading), digest=reading.digest, fingerprint=fingerprint)
    except DataError:
        if reading.failed:
            return None
        raise


def _of_dicom(readings: Readings, reading: Reading) -> bool:
    """Whether an image is DICOM: by what was noted when it was read, else by its file."""
    told = readings.acquisition.get(reading.path)
    if told and told.get("format"):
        return told["format"] == "DICOM"
    try:
        path = Reference.parse(files_of(readings.reference(reading))[0]).path
        return path.is_dir() or _starts_as_dicom(path)
    except (ImageError, OSError):
        return False


def _starts_as_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom(file.read(_START))


def read_of(study: Study) -> list[str]:
    """What tells a study's readings from others."""
    found: list[str] = []
    for image in study.images:
        found += [image.reading.path] if image.source is None else image_key(image.source)
        found += [image.reading.digest, "map" if image.reading.map else "no map"]
    return [*found, *(one.path for one in study.studies)]


def image_key(source: Source) -> list[str]:
    """What tells one image from others: its instances and frames."""
    frames = [str(plane.frame or plane.tile or 0) for plane in source.planes]
    return [*(str(header.SOPInstanceUID) for header in source.headers), *frames]


def called(image: ImageRead) -> str:
    """What a person may call the image: its series and its number there; of a file of which no header is
    known its name."""
    if image.source is None:
        return PurePosixPath(files_of(image.reading.path)[0]).name
    header = image.source.headers[0]
    parts = [f"series {text(header, 'SeriesNumber') or '?'}"]
    if len(image.source.headers) == 1:
        parts.append(f"image {text(header, 'InstanceNumber') or '?'}")
    frame = image.source.planes[0].frame
    if len(image.source.planes) == 1 and frame is not None:
        parts.append(f"frame {frame}")
    return ", ".join(parts)
