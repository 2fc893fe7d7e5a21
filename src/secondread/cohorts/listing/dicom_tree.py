"""DICOM files as rows: slices of one series become a volume, films stay images, the rest is set apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import PurePosixPath
from typing import Literal

from secondread.cohorts.listing.dicom_volumes import Copies, DicomFile, candidates, judged
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.row import Row
from secondread.cohorts.sequences import place_of
from secondread.images.dicom.series import SLICE_MODALITIES, Unread, series_key
from secondread.images.header import Header

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

Order = tuple[int, int, int]
Identify = Callable[[Literal["patient", "study"], str], str]


@dataclass(frozen=True)
class HowDicom:
    """How DICOM files are listed.

    CT, MR and PT files with one frame are gathered by series. Slices of one patient, orientation and grid,
    each at its own position, form one volume `folder#<series key>`; `as_images` keeps them as images.
    Localisers, derived series (but for `keep_derived`), and series that mix patients, orientations, grids or
    positions are set apart, and so are series of which slices inside are missing while files beside them
    cannot be read. Files of other modalities are images of their own (one per frame, of a clip each
    `every`th; with `clips_whole` one per file), unless theirs holds none. `identify` turns the ids of
    patients and studies into what the manifest says; `copies` tells whether files at one position are copies,
    of which one counts.
    """

    as_images: bool
    keep_derived: bool
    identify: Identify
    copies: Copies
    every: int = 1
    clips_whole: bool = False


def rows_of_series(
    files: Sequence[DicomFile], how: HowDicom, unread: Sequence[Unread] = ()
) -> Iterator[tuple[Order, Row | SetAside]]:
    """Rows of the files of one series, and what was set apart, each with its place among those of all series.

    unread  files that seem to be slices of CT, MR or PET and cannot be read, with paths below the source
    """
    identify = how.identify
    numbers = count()
    aside: list[tuple[Order, SetAside]] = []
    slices: list[DicomFile] = []
    for file in files:
        header = file.header
        sliced = header.modality in SLICE_MODALITIES
        if reason := _why_apart(file, how):
            aside.append(((0, file.number, next(numbers)), SetAside(file.path, reason)))
        elif sliced and header.frames == 1 and not how.as_images:
            slices.append(file)
        elif not how.as_images if sliced else how.clips_whole:
            row = _row(file.path, header, identify, header.spacing, header.remarks)
            yield (0, file.number, next(numbers)), row
        else:
            for row in _frames(file, identify, how.every):
                yield (0, file.number, next(numbers)), row

    gathered = {file.path for file in slices}
    others = [file for file in files if file.path not in gathered]
    for one in judged(candidates(slices), others, unread, how.copies):
        first = one.files[0]
        if len(one.files) == 1 and not one.reason.startswith("mixed"):
            rows = [_row(first.path, first.header, identify, first.header.spacing)]
        elif one.reason and not first.header.series_uid and one.reason.startswith("no positions"):
            rows = [_row(file.path, file.header, identify, file.header.spacing) for file in one.files]
        elif one.reason:
            rows = []
            said = SetAside(one.reference, one.reason, len(one.files), unreadable=one.lost)
            aside.append(((1, slices[0].number, next(numbers)), said))
        else:
            rows = [_row(one.reference, first.header, identify, one.spacing, one.remarks)]
        for row in rows:
            yield (1, slices[0].number, next(numbers)), row
    yield from _gathered(aside, files)


def _why_apart(file: DicomFile, how: HowDicom) -> str:
    """Why a file is no image by itself and no slice of one; empty where it may be either."""
    header = file.header
    if header.modality in NO_IMAGES:
        return f"modality {header.modality} holds no image"
    if not header.size or not header.has_pixels:
        return "no pixels"
    if header.modality in SLICE_MODALITIES and file.is_localiser:
        return "localiser"
    if header.modality in SLICE_MODALITIES and file.is_derived and not how.keep_derived:
        return "derived image"
    if header.no_volume and not how.as_images:
        return f"{header.no_volume}; index with --as images"
    return ""


def _frames(file: DicomFile, identify: Identify, every: int) -> list[Row]:
    """The file as one image, or each `every`th of its frames as one."""
    header = file.header
    if header.frames == 1:
        return [_row(file.path, header, identify, header.spacing)]
    rows = []
    for number in range(0, header.frames, every):
        row = _row(f"{file.path}#frame/{number}", header, identify, header.pixel_spacing)
        time = f"{header.frame_times[number]:.6g}" if header.frame_times else ""
        study = row.study_id or identify("study", header.series_uid) or file.path
        rows.append(replace(row, study_id=study, extra={**row.extra, **place_of(number, time)}))
    return rows


def _row(
    reference: str,
    header: Header,
    identify: Identify,
    spacing: Sequence[float],
    remarks: Sequence[str] = (),
) -> Row:
    """`spacing` is told in millimetres as `slice x row x column` of the image as it is read, or `row x
    column` for a picture."""
    facts = {
        "modality": header.modality,
        "view": header.view,
        "laterality": header.laterality,
        "body_part": header.body_part,
        "manufacturer": header.manufacturer,
        "spacing": "x".join(f"{value:.4g}" for value in spacing),
        "remarks": "; ".join(remarks),
    }
    return Row(
        path=reference,
        patient_id=identify("patient", header.patient_id),
        study_id=identify("study", header.study_uid),
        extra=facts,
    )


def _gathered(
    aside: Sequence[tuple[Order, SetAside]], files: Sequence[DicomFile]
) -> Iterator[tuple[Order, SetAside]]:
    """Files of one series that were set apart for one reason, told as one."""
    series = {file.path: file.header.series if file.header.series_uid else "" for file in files}
    together: dict[tuple[str, str, str], list[tuple[Order, SetAside]]] = defaultdict(list)
    for place, item in aside:
        uid = series.get(item.path, "")
        where = str(PurePosixPath(item.path).parent) if uid else item.path
        together[where, uid, item.reason].append((place, item))
    for (where, uid, reason), items in together.items():
        place, item = items[0]
        yield (
            place,
            item if len(items) == 1 else SetAside(f"{where}#{series_key(uid)}", reason, len(items)),
        )
