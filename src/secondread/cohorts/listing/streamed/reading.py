"""The headers of all files of a source, read in workers here or elsewhere, some hundred files at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from secondread.cohorts.listing.file_reading import read_each, reason_of
from secondread.cohorts.listing.header_warnings import HeaderWarnings
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.cohorts.listing.streamed.kept_headers import KeptHeaders
from secondread.images.header import Header
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read_header import read_header
from secondread.images.workers.kept_workers import KeptWorkers
from secondread.images.workers.outcome import Failed

AT_ONCE = 1000


@dataclass(frozen=True)
class Piece:
    """Some files, by number and path below the source, whose headers are wanted."""

    number: int
    files: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Read:
    """What is in a piece's files: a header each, or why there is none."""

    number: int
    files: tuple[tuple[int, str], ...]
    found: tuple[Header | ImageError, ...]


ReadPieces = Callable[[Iterator[Piece]], Iterator[Read]]
"""Reads pieces; they may come back in another order."""


@dataclass(frozen=True)
class Here:
    """Pieces read by worker processes of this one, or by itself without limits where there are none."""

    base: Path
    workers: int

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[Read]:
        if self.workers == 0:
            for piece in pieces:
                found = tuple(one for _, one in read_each(self.base, paths_of(piece), read_header, 0))
                yield Read(piece.number, piece.files, found)
            return
        with closing(KeptWorkers(read_header, workers=self.workers)) as workers:
            for piece in pieces:
                yield read_by(workers, self.base, piece)


def paths_of(piece: Piece) -> list[str]:
    return [path for _, path in piece.files]


def read_by(workers: KeptWorkers[str | Path, Header], base: Path, piece: Piece) -> Read:
    results = workers.map([str(base / path) for path in paths_of(piece)])
    found = tuple(one.error if isinstance(one, Failed) else one.value for one in results)
    return Read(piece.number, piece.files, found)


@dataclass
class HeadersRead:
    """What is known once all headers are read.

    unreadable  files that cannot be read, by number
    dicom       what is to be said of DICOM headers, and whether one names someone
    """

    unreadable: dict[int, SetAside]
    dicom: HeaderWarnings


def read_headers(
    files: FileTable,
    base: Path,
    read: ReadPieces,
    kept: KeptHeaders | None,
    passed_over: Callable[[str], bool],
) -> HeadersRead:
    """Fill the table with the headers of its paths; `passed_over` are files that headers say nothing of to a
    person. What an interrupted run kept is not read again."""
    told = HeadersRead({}, HeaderWarnings())

    def take(numbered: Sequence[tuple[int, str]], found: Sequence[Header | ImageError]) -> None:
        listed: list[tuple[int, str, Header | None]] = []
        for (number, path), one in zip(numbered, found, strict=True):
            try:
                if isinstance(one, ImageError):
                    raise one
                ReadLimits().check_count(path, one.frames, "frames")
            except ImageError as error:
                told.unreadable[number] = SetAside(path, reason_of(error), unreadable=True)
                listed.append((number, path, None))
                continue
            listed.append((number, path, one))
            if one.kind == "dicom" and not passed_over(path):
                told.dicom.add(number, path, one)
        files.add(listed)

    def pieces() -> Iterator[Piece]:
        for number, some in enumerate(files.numbered(AT_ONCE)):
            left = some
            if kept is not None:
                known = kept.known(base, some)
                take([one for one in some if one[0] in known], list(known.values()))
                left = [one for one in some if one[0] not in known]
            if left:
                yield Piece(number, tuple(left))

    for piece in read(pieces()):
        take(piece.files, piece.found)
        if kept is not None:
            kept.keep(piece.files, piece.found)
    unread = {one.path for one in told.unreadable.values()}
    beside = {path for path in files.data_files() if path in unread}
    told.unreadable = dict(
        sorted((number, one) for number, one in told.unreadable.items() if one.path not in beside)
    )
    return told
