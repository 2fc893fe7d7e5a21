"""The files of a source and their headers in a table on the disk, for archives of more than memory holds."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice, takewhile
from typing import Any

from secondread.cohorts.listing.dicom_volumes import DicomFile
from secondread.cohorts.listing.streamed.header_text import header_of, header_text
from secondread.images.dicom.series import SLICE_MODALITIES, series_key
from secondread.images.header import Header
from secondread.outputs.temporary_database import TemporaryDatabase

_SLICE, _NO_SIZE = 1, 2
_UNREADABLE = "unreadable"


class FileTable(Mapping[str, Header]):
    """Files by number, in the order of the walk; as a mapping, the headers of those that can be read by path,
    in this order."""

    def __init__(self, database: TemporaryDatabase) -> None:
        self._database = database
        database.run("CREATE TABLE walked (number INTEGER PRIMARY KEY, path TEXT NOT NULL)")
        database.run(
            "CREATE TABLE files (number INTEGER PRIMARY KEY, path TEXT NOT NULL, kind TEXT NOT NULL, "
            "series TEXT, key TEXT, folder TEXT, part INTEGER, header TEXT, data TEXT)"
        )
        self._by_path = self._by_key = False

    def add_paths(self, paths: Iterable[str]) -> None:
        """Paths that are text, below the source."""
        self._database.add("INSERT INTO walked (path) VALUES (?)", ((path,) for path in paths))

    def keep_only(self, table: str) -> None:
        """Forget all paths but those in the column `path` of a table beside this one."""
        self._database.run(f"DELETE FROM walked WHERE path NOT IN (SELECT path FROM {table})")  # noqa: S608

    @property
    def count(self) -> int:
        """How many paths there are."""
        return int(self._database.one("SELECT count(*) FROM walked")[0])

    def paths(self) -> Iterator[str]:
        return (path for (path,) in self._rows("SELECT path FROM walked ORDER BY number"))

    def sort_paths(self) -> None:
        """Once all paths are there."""
        self._database.run("CREATE INDEX walked_by_path ON walked (path)")

    def holds(self, path: str) -> bool:
        """Whether a path was added; asked after `sort_paths`."""
        return any(self._rows("SELECT 1 FROM walked WHERE path = ?", (path,)))

    def beginning(self, start: str) -> Iterator[str]:
        """The paths that begin with a text, in the order of their letters; asked after `sort_paths`."""
        rows = self._rows("SELECT path FROM walked WHERE path >= ? ORDER BY path", (start,))
        return takewhile(lambda path: path.startswith(start), (path for (path,) in rows))

    def numbered(self, at_once: int) -> Iterator[list[tuple[int, str]]]:
        """All paths with their numbers, so many at a time."""
        rows = self._rows("SELECT number, path FROM walked ORDER BY number")
        while some := list(islice(rows, at_once)):
            yield some

    def add(self, read: Iterable[tuple[int, str, Header | None]]) -> None:
        """Headers by number and path; None where the file cannot be read."""
        self._database.add(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (_cells(*one) for one in read)
        )

    def dicom(self) -> Iterator[DicomFile]:
        """All DICOM files in order."""
        return map(
            _dicom, self._rows("SELECT number, path, header FROM files WHERE kind = 'dicom' ORDER BY number")
        )

    def by_series(self) -> Iterator[list[DicomFile]]:
        """The DICOM files of one series after the other; within one in order."""
        rows = self._rows(
            "SELECT number, path, header, series FROM files WHERE kind = 'dicom' ORDER BY series, number"
        )
        for _, files in groupby(rows, lambda row: row[3]):
            yield [_dicom(row[:3]) for row in files]

    def of_kind(self, kind: str) -> Iterator[str]:
        return (
            path for (path,) in self._rows("SELECT path FROM files WHERE kind = ? ORDER BY number", (kind,))
        )

    def data_files(self) -> Iterator[str]:
        """The paths of files that headers beside them name as the place of their voxels."""
        return (path for (path,) in self._rows("SELECT data FROM files WHERE data IS NOT NULL"))

    def pictures(self) -> Iterator[tuple[int, str]]:
        """Number and path of what is neither DICOM nor an archive."""
        return self._rows(
            "SELECT number, path FROM files WHERE kind NOT IN ('dicom', 'npz', 'unreadable') ORDER BY number"
        )

    def picture_headers(self) -> Iterator[tuple[int, str, Header]]:
        rows = self._rows(
            "SELECT number, path, header FROM files WHERE kind NOT IN ('dicom', 'npz', 'unreadable') "
            "ORDER BY number"
        )
        return ((number, path, header_of(said, path)) for number, path, said in rows)

    def beside_slices(self) -> list[str]:
        """Files that cannot be read, and DICOM files without a size, in folders of CT, MR or PET slices."""
        slices = f"(SELECT folder FROM files WHERE part = {_SLICE})"  # noqa: S608
        found: list[str] = []
        for what in ("kind = 'unreadable'", f"part = {_NO_SIZE}"):
            asked = f"SELECT path FROM files WHERE {what} AND folder IN {slices} ORDER BY number"  # noqa: S608
            found += [path for (path,) in self._rows(asked)]
        return found

    def of_series_key(self, key: str) -> Header | None:
        """The header of the last file of the series that is written with a key, if that has a UID."""
        if not self._by_key:
            self._database.run("CREATE INDEX by_key ON files (key) WHERE key IS NOT NULL")
            self._by_key = True
        asked = "SELECT path, header FROM files WHERE key = ? ORDER BY number DESC LIMIT 1"
        return next((header_of(said, path) for path, said in self._rows(asked, (key,))), None)

    def __getitem__(self, path: str) -> Header:
        if not self._by_path:
            self._database.run("CREATE INDEX by_path ON files (path)")
            self._by_path = True
        asked = "SELECT header FROM files WHERE path = ? AND header IS NOT NULL"
        for (said,) in self._rows(asked, (path,)):
            return header_of(said, path)
        raise KeyError(path)

    def __iter__(self) -> Iterator[str]:
        return (
            path for (path,) in self._rows("SELECT path FROM files WHERE header IS NOT NULL ORDER BY number")
        )

    def __len__(self) -> int:
        return int(self._database.one("SELECT count(*) FROM files WHERE header IS NOT NULL")[0])

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        return self._database.rows(sql, values)


def _cells(number: int, path: str, header: Header | None) -> tuple[object, ...]:
    folder = path.rpartition("/")[0] or "."
    if header is None:
        return number, path, _UNREADABLE, None, None, folder, None, None, None
    if header.kind != "dicom":
        data = posixpath.normpath(posixpath.join(folder, header.data_file)) if header.data_file else None
        return number, path, header.kind, None, None, None, None, header_text(header), data
    part = None
    if not header.size:
        part = _NO_SIZE
    elif header.modality in SLICE_MODALITIES:
        part = _SLICE
    key = series_key(header.series) if header.series_uid else None
    return number, path, "dicom", header.series, key, folder, part, header_text(header), None


def _dicom(row: tuple[Any, ...]) -> DicomFile:
    number, path, said = row
    return DicomFile(path, header_of(said, path), number)
