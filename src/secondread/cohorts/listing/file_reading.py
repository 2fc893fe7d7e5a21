"""What is read of the files of a source: headers, archives and slices, each in a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from secondread.cohorts.listing.dicom_volumes import DicomFile
from secondread.cohorts.listing.set_aside import SetAside
from secondread.images.dicom.series import SLICE_MODALITIES, Unread, unread_slice
from secondread.images.dicom.volume import all_copies
from secondread.images.header import Header
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read_header import read_header
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done, Failed

T = TypeVar("T")


def headers_of(base: Path, paths: Sequence[str], workers: int) -> tuple[dict[str, Header], list[SetAside]]:
    headers: dict[str, Header] = {}
    aside: list[SetAside] = []
    named = [path for path in paths if is_text(path)]
    aside += [
        SetAside(ascii(path), "a name that is not UTF-8; rename it") for path in paths if not is_text(path)
    ]
    for path, header in read_each(base, named, read_header, workers):
        try:
            if isinstance(header, ImageError):
                raise header
            ReadLimits().check_count(path, header.frames, "frames")
            headers[path] = header
        except ImageError as error:
            aside.append(SetAside(path, reason_of(error), unreadable=True))
    return headers, aside


def read_each(
    base: Path, paths: Sequence[str], reader: Callable[[str], T], workers: int
) -> Iterator[tuple[str, T | ImageError]]:
    """What `reader` finds in each file, in workers: of a file, nothing is read in this process."""
    whole = [str(base / path) for path in paths]
    results = map_in_workers(reader, whole, workers=min(workers, len(whole)))
    for path, result in zip(paths, results, strict=True):
        yield path, result.error if isinstance(result, Failed) else result.value


def lost_slices(
    base: Path, dicom: Sequence[DicomFile], aside: Sequence[SetAside], workers: int
) -> list[Unread]:
    """Files that seem to be slices of a series and cannot be read, with their paths below the source."""
    folders = {file.folder for file in dicom if file.header.modality in SLICE_MODALITIES and file.header.size}
    unclear = [item.path for item in aside if item.unreadable]
    unclear += [file.path for file in dicom if not file.header.size]
    unclear = [path for path in unclear if str(PurePosixPath(path).parent) in folders and is_text(path)]
    return [
        replace(found, path=Path(path))
        for path, found in read_each(base, unclear, unread_slice, workers)
        if isinstance(found, Unread)
    ]


def hold_copies(base: Path, found: Sequence[Sequence[tuple[str, ...]]], workers: int) -> list[bool]:
    """For each series' files at one place, whether they are copies of one another."""
    items = [tuple(tuple(str(base / path) for path in place) for place in places) for places in found]
    results = map_in_workers(all_copies, items, workers=min(workers, len(items)))
    return [isinstance(result, Done) and result.value for result in results]


def is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def reason_of(error: ImageError) -> str:
    return f"{error.problem}; {error.advice}" if error.advice else error.problem
