"""DICOM files as rows: slices of one series become a volume, films stay images, the rest is set apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from secondread.cohorts.manifest import Row
from secondread.cohorts.set_aside import SetAside
from secondread.images.dicom_series import series_key
from secondread.images.header import Header

SLICE_MODALITIES = {"CT", "MR", "PT"}
NO_IMAGES = {
    *(
        "AU",
        "DOC",
        "ECG",
        "FID",
        "HC",
        "HD",
        "KER",
        "KO",
        "PLAN",
        "PR",
        "REG",
        "RTDOSE",
        "RTPLAN",
        "RTRECORD",
    ),
    *("RTSTRUCT", "RWV", "SEG", "SMR", "SR", "STAIN", "TEXTUREMAP"),
}
_SAME_POSITION = 1e-3
_SAME_DIRECTION = 2e-3

Identify = Callable[[Literal["patient", "study"], str], str]


@dataclass(frozen=True)
class DicomFile:
    """A file's path below the source (`/` between folders) and its header."""

    path: str
    header: Header

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.path).parent)

    @property
    def is_localiser(self) -> bool:
        return "LOCALIZER" in self.header.image_type or "SCOUT" in self.header.image_type

    @property
    def is_derived(self) -> bool:
        return self.header.image_type[:1] == ("DERIVED",) or self.header.image_type[1:2] == ("SECONDARY",)


def rows_of_dicom(
    files: Sequence[DicomFile], *, as_images: bool, keep_derived: bool, identify: Identify
) -> tuple[list[Row], list[SetAside]]:
    """Rows and what was set apart.

    CT, MR and PT files with one frame are gathered by folder and series. Slices of one orientation and
    grid, each at its own position, form one volume `folder#<series key>`; `as_images` keeps them as
    images. Localisers, derived series, and series that mix orientations, grids or positions are set
    apart. Files of other modalities are images of their own (one per frame), unless theirs holds none.
    `identify` turns the ids of patients and studies into what the manifest says.
    """
    rows: list[Row] = []
    aside: list[SetAside] = []
    series: dict[tuple[str, str], list[DicomFile]] = defaultdict(list)
    for file in files:
        header = file.header
        if header.modality in NO_IMAGES:
            aside.append(SetAside(file.path, f"modality {header.modality} holds no image"))
        elif not header.size or not header.has_pixels:
            aside.append(SetAside(file.path, "no pixels"))
        elif header.modality in SLICE_MODALITIES:
            if file.is_localiser:
                aside.append(SetAside(file.path, "localiser"))
            elif file.is_derived and not keep_derived:
                aside.append(SetAside(file.path, "derived image"))
            elif as_images:
                rows += _frames(file, identify)
            elif header.frames > 1 or not header.series_uid:
                rows.append(_row(file.path, [file], identify))
            else:
                series[file.folder, header.series_uid].append(file)
        else:
            rows += _frames(file, identify)

    gathered = {file.path for members in series.values() for file in members}
    apart = _count_by_series([file for file in files if file.path not in gathered])
    for (folder, uid), members in series.items():
        others = apart.get((folder, uid), 0)
        reason = _why_no_volume(members, others)
        if len(members) == 1 and not others:
            rows.append(_row(members[0].path, members, identify))
        elif reason:
            aside.append(SetAside(f"{folder}#{series_key(uid)}", reason, len(members)))
        else:
            rows.append(_row(f"{folder}#{series_key(uid)}", members, identify))
    return rows, _gathered(aside, files)


def _frames(file: DicomFile, identify: Identify) -> list[Row]:
    """The file as one image, or each of its frames as one."""
    if file.header.frames == 1:
        return [_row(file.path, [file], identify)]
    return [_row(f"{file.path}#frame/{i}", [file], identify) for i in range(file.header.frames)]


def _row(reference: str, files: Sequence[DicomFile], identify: Identify) -> Row:
    header = files[0].header
    facts = {
        "modality": header.modality,
        "view": header.view,
        "laterality": header.laterality,
        "body_part": header.body_part,
        "manufacturer": header.manufacturer,
        "spacing": _spacing(files),
    }
    return Row(
        path=reference,
        patient_id=identify("patient", header.patient_id),
        study_id=identify("study", header.study_uid),
        extra=facts,
    )


def _spacing(files: Sequence[DicomFile]) -> str:
    """Millimetres as `slice x row x column`, or `row x column` for an image."""
    within = [f"{value:.4g}" for value in files[0].header.spacing]
    if len(files) > 1 and within:
        gaps = np.diff(np.sort(_positions(files)))
        within = [f"{float(np.median(gaps)):.4g}", *within]
    return "x".join(within)


def _why_no_volume(files: Sequence[DicomFile], others: int) -> str:
    """Why these files of one series form no volume; empty where they do."""
    if others:
        return f"mixed series: {others} more files of it are localisers, derived or multi-frame"
    grids = {file.header.size for file in files}
    if len(grids) > 1:
        return f"mixed series: {len(grids)} image sizes"
    if not all(_has_place(file) for file in files):
        return "no positions in the headers, so its slices cannot be ordered; index with --as images"
    directions = np.array([file.header.orientation for file in files], dtype=float)
    if np.ptp(directions, axis=0).max() > 2 * _SAME_DIRECTION:
        return "mixed series: several orientations"
    if len({file.header.spacing for file in files}) > 1:
        return "mixed series: several pixel spacings"
    if np.any(np.diff(np.sort(_positions(files))) < _SAME_POSITION):
        return "several images at one position (times, echoes or weightings); index with --as images"
    return ""


def _has_place(file: DicomFile) -> bool:
    return len(file.header.orientation) == 6 and len(file.header.position) == 3


def _positions(files: Sequence[DicomFile]) -> np.ndarray:
    """Where each slice lies along the normal of the first, in millimetres."""
    if not all(_has_place(file) for file in files):
        return np.zeros(len(files))
    row, column = np.reshape(files[0].header.orientation, (2, 3))
    normal = np.cross(row, column)
    return np.array([file.header.position for file in files], dtype=float) @ normal


def _count_by_series(files: Sequence[DicomFile]) -> dict[tuple[str, str], int]:
    """How many of these files each series has that the reader would take for its slices."""
    return Counter((file.folder, file.header.series_uid) for file in files if file.header.size)


def _gathered(aside: Sequence[SetAside], files: Sequence[DicomFile]) -> list[SetAside]:
    """Files of one series that were set apart for one reason, told as one."""
    series = {file.path: file.header.series_uid for file in files}
    together: dict[tuple[str, str, str], list[SetAside]] = defaultdict(list)
    for item in aside:
        uid = series.get(item.path, "")
        where = str(PurePosixPath(item.path).parent) if uid else item.path
        together[where, uid, item.reason].append(item)
    return [
        items[0] if len(items) == 1 else SetAside(f"{where}#{series_key(uid)}", reason, len(items))
        for (where, uid, reason), items in together.items()
    ]
