"""Single-frame DICOM files gathered to volumes, from their headers, as the reader will read them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from secondread.images.dicom.geometry import NotAStack, Plane, plane_from
from secondread.images.dicom.series import (
    SlicesLost,
    Unread,
    about_unread,
    series_key,
    unread_beside,
    why_not_one_patient,
)
from secondread.images.dicom.stack import at_one_place, copies_dropped, stack
from secondread.images.header import Header
from secondread.images.orientation import canonical_stack

Copies = Callable[[Sequence[Sequence[tuple[str, ...]]]], Sequence[bool]]
"""For the candidates that have several files at one place: whether those files hold equal pixels."""


@dataclass(frozen=True)
class DicomFile:
    """A file's path below the source (`/` between folders), its header, and its place in the order of all."""

    path: str
    header: Header
    number: int = 0

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.path).parent)

    @property
    def is_localiser(self) -> bool:
        return "LOCALIZER" in self.header.image_type or "SCOUT" in self.header.image_type

    @property
    def is_derived(self) -> bool:
        return self.header.image_type[:1] == ("DERIVED",) or self.header.image_type[1:2] == ("SECONDARY",)


@dataclass(frozen=True)
class Candidate:
    """Files of one series that may be the slices of one volume, in `folder` or below it.

    reason   why they are none; empty where they are one
    lost     whether that is because slices could not be read
    spacing  millimetres along slices, rows and columns of the volume as it is read
    """

    folder: str
    files: tuple[DicomFile, ...]
    reason: str = ""
    lost: bool = False
    spacing: tuple[float, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def reference(self) -> str:
        return f"{self.folder}#{series_key(self.files[0].header.series)}"


def candidates(files: Iterable[DicomFile]) -> list[Candidate]:
    """The files by series. A series in several folders is one volume in the folder that holds them all,
    unless each of its folders holds the same slices: then they are copies, each a volume of its own."""
    series: dict[str, list[DicomFile]] = defaultdict(list)
    for file in files:
        series[file.header.series].append(file)
    found: list[Candidate] = []
    for members in series.values():
        folders: dict[str, list[DicomFile]] = defaultdict(list)
        for file in members:
            folders[file.folder].append(file)
        apart = not members[0].header.series_uid or _each_by_itself(list(folders.values()))
        groups = _nested(folders) if apart else [(_common(list(folders)), members)]
        found += [Candidate(folder, tuple(inside)) for folder, inside in groups]
    return found


def judged(
    found: Sequence[Candidate], apart: Sequence[DicomFile], unread: Sequence[Unread], copies: Copies
) -> list[Candidate]:
    """The candidates with what makes them a volume, or the reason why they are none.

    apart   further files that the reader would take for slices of a series (localisers, derived, multi-frame)
    unread  files that seem to be slices and cannot be read, with paths below the source
    """
    sorted_out = [_first_look(one, apart) for one in found]
    doubled = [
        (i, places) for i, one in enumerate(sorted_out) if not one.reason and (places := _doubled(one))
    ]
    answers = copies([places for _, places in doubled])
    equal = {i for (i, _), same in zip(doubled, answers, strict=True) if same}
    return [
        one if one.reason else _judged(one, unread, with_copies=i in equal)
        for i, one in enumerate(sorted_out)
    ]


def _first_look(one: Candidate, apart: Sequence[DicomFile]) -> Candidate:
    series = one.files[0].header.series
    others = [
        file for file in apart if file.header.series == series and file.header.size and _below(file, one)
    ]
    if others:
        return _refused(
            one, f"mixed series: {len(others)} more files of it are localisers, derived or multi-frame"
        )
    if reason := why_not_one_patient(file.header.identity for file in one.files):
        return _refused(one, reason)
    grids = {file.header.size for file in one.files}
    if len(grids) > 1:
        return _refused(one, f"mixed series: {len(grids)} image sizes")
    if any(_plane(file) is None for file in one.files):
        return _refused(
            one, "no positions in the headers, so its slices cannot be ordered; index with --as images"
        )
    return one


def _judged(one: Candidate, unread: Sequence[Unread], *, with_copies: bool) -> Candidate:
    planes = [plane for file in one.files if (plane := _plane(file)) is not None]
    remarks: tuple[str, ...] = ()
    if with_copies:
        kept = [place[0] for place in at_one_place(planes)]
        remarks = (copies_dropped(len(planes) - len(kept)),)
        planes = [planes[index] for index in sorted(kept)]
    try:
        _, geometry = stack(planes)
    except NotAStack as reason:
        return _refused(one, f"mixed series: {reason}; index with --as images")
    if len(one.files) > 1:
        paths = [Path(file.path) for file in one.files]
        beside = list(unread_beside(paths, one.files[0].header.series, unread))
        try:
            remarks = (*remarks, *about_unread(planes, beside))
        except SlicesLost as lost:
            return _refused(one, f"{lost}; copy the series again", lost=True)
    geometry = canonical_stack(geometry, (len(planes), *one.files[0].header.size))
    return Candidate(
        one.folder, one.files, spacing=geometry.spacing or (), remarks=(*geometry.remarks, *remarks)
    )


def _refused(one: Candidate, reason: str, *, lost: bool = False) -> Candidate:
    return Candidate(one.folder, one.files, reason, lost)


def _doubled(one: Candidate) -> list[tuple[str, ...]]:
    """The files that lie at one place with others, place by place."""
    planes = [plane for file in one.files if (plane := _plane(file)) is not None]
    return [tuple(one.files[i].path for i in place) for place in at_one_place(planes) if len(place) > 1]


def _plane(file: DicomFile) -> Plane | None:
    header = file.header
    if not header.position or not header.orientation or not header.pixel_spacing:
        return None
    return plane_from(header.position, header.orientation, header.pixel_spacing, header.slice_thickness)


def _each_by_itself(folders: Sequence[Sequence[DicomFile]]) -> bool:
    """Whether the folders hold the same slices, or slices of different patients."""
    places = [
        sorted((file.header.orientation, file.header.position) for file in inside) for inside in folders
    ]
    if all(place == places[0] for place in places):
        return True
    return bool(why_not_one_patient([file.header.identity for inside in folders for file in inside]))


def _nested(folders: dict[str, list[DicomFile]]) -> list[tuple[str, list[DicomFile]]]:
    """Each folder with its own files and, as the reader takes them, those of the folders inside it."""
    outer = [one for one in folders if not any(one != other and _is_below(one, other) for other in folders)]
    return [
        (one, [file for folder, inside in folders.items() if _is_below(folder, one) for file in inside])
        for one in outer
    ]


def _is_below(folder: str, other: str) -> bool:
    return folder == other or PurePosixPath(other) in PurePosixPath(folder).parents


def _below(file: DicomFile, one: Candidate) -> bool:
    return _is_below(file.folder, one.folder)


def _common(folders: Sequence[str]) -> str:
    return os.path.commonpath(folders) if len(folders) == 1 or "." not in folders else "."
