"""What is read of the files of a source: headers, archives and slices, each in a worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from secondread.cohorts.listing.dicom_volumes import DicomFile
from secondread.cohorts.listing.set_aside import SetAside
from secondread.images.dicom.series import Unread, unread_slice
from secondread.images.dicom.volume import all_copies
from secondread.images.header import Header
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read_header import read_header
from secondread.images.workers.kept_workers import KeptWorkers
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


class LostSlices:
    """Files that seem to be slices of a series and cannot be read, with their paths below the source.

    paths   files in folders of slices of CT, MR or PET that cannot be read or have no size
    """

    def __init__(self, base: Path, paths: Sequence[str], workers: int) -> None:
        self._in: dict[str, list[tuple[int, Unread]]] = defaultdict(list)
        for at, (path, found) in enumerate(read_each(base, paths, unread_slice, workers)):
            if isinstance(found, Unread):
                folder = str(PurePosixPath(path).parent)
                self._in[folder].append((at, replace(found, path=Path(path))))

    def beside(self, files: Sequence[DicomFile]) -> list[Unread]:
        """Those in the folders of some files."""
        if not self._in:
            return []
        folders = {file.folder for file in files}
        return [one for _, one in sorted((one for f in folders for one in self._in.get(f, ())), key=_place)]


def _place(one: tuple[int, Unread]) -> int:
    return one[0]


class SliceCopies:
    """Whether files at one place of a series are copies of one another, looked at by workers that stay."""

    def __init__(self, base: Path, workers: int) -> None:
        self._base = base
        self._kept = KeptWorkers(all_copies, workers=workers) if workers else None

    def __call__(self, found: Sequence[Sequence[tuple[str, ...]]]) -> list[bool]:
        items = [
            tuple(tuple(str(self._base / path) for path in place) for place in places) for places in found
        ]
        if not items:
            return []
        mapped = self._kept.map(items) if self._kept else map_in_workers(all_copies, items, workers=0)
        return [isinstance(result, Done) and result.value for result in mapped]

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


def is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def reason_of(error: ImageError) -> str:
    return f"{error.problem}; {error.advice}" if error.advice else error.problem
