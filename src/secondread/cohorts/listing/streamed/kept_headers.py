"""Headers that were read, kept beside the output until that is there: an interrupted `index` goes on."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from secondread.cohorts.listing.streamed.header_text import header_of, header_text
from secondread.errors import DataError, UserError
from secondread.images.header import Header
from secondread.images.image import ImageError
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.version import __version__


class KeptHeaders:
    """What a run into `output` has read of the files below `base`, in a file for its owner alone, for it
    holds headers as they are.

    It is there from the first headers until `remove`. One of another source or version, or one that a power
    failure has torn, is begun anew.
    """

    def __init__(self, output: Path, base: Path) -> None:
        self.file = output.with_name(f".{output.name}.headers")
        self._of = f"{__version__} {base}".encode("utf-8", "surrogatepass")
        self._marks: dict[int, str | None] = {}
        try:
            self._open()
        except sqlite3.DatabaseError:
            self._begin_anew()

    def _open(self) -> None:
        self._database = TemporaryDatabase("the headers that were read", kept=self.file)
        self._database.run("CREATE TABLE IF NOT EXISTS made (of_what BLOB)")
        self._database.run("CREATE TABLE IF NOT EXISTS headers (path TEXT PRIMARY KEY, mark TEXT, said TEXT)")
        made = list(self._database.rows("SELECT of_what FROM made"))
        if made and made != [(self._of,)]:
            raise sqlite3.DatabaseError
        if not made:
            self._database.run("INSERT INTO made VALUES (?)", (self._of,))

    def _begin_anew(self) -> None:
        self._unlink()
        self._open()

    def known(self, base: Path, files: Sequence[tuple[int, str]]) -> dict[int, Header]:
        """The headers of those files, by number, that are as they were when they were read."""
        found = {}
        for number, path in files:
            self._marks[number] = _mark_of(base / path)
            rows = self._database.rows("SELECT mark, said FROM headers WHERE path = ?", (path,))
            for mark, said in rows:
                if mark is not None and mark == self._marks[number]:
                    with contextlib.suppress(ValueError, TypeError, AttributeError):
                        found[number] = header_of(said, path)
                        del self._marks[number]
        return found

    def keep(self, files: Sequence[tuple[int, str]], found: Sequence[Header | ImageError]) -> None:
        self._database.add(
            "INSERT OR REPLACE INTO headers VALUES (?, ?, ?)",
            (
                (path, self._marks.pop(number, None), header_text(header))
                for (number, path), header in zip(files, found, strict=True)
                if isinstance(header, Header)
            ),
        )
        self._database.commit()

    def remove(self) -> None:
        self._database.close()
        self._unlink()

    def _unlink(self) -> None:
        for file in (self.file, self.file.with_name(f"{self.file.name}-journal")):
            file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was read stays where the run was interrupted or the disk is full; else nobody needs it."""
        mended = isinstance(error, UserError | DataError)
        if error is None or (mended and not isinstance(error.__cause__, OSError | sqlite3.Error)):
            self.remove()
        else:
            self._database.close()


def _mark_of(path: Path) -> str | None:
    """What tells at a glance whether a file is as it was; None where it cannot be looked at."""
    try:
        said = os.stat(path)
    except OSError:
        return None
    return f"{said.st_size} {said.st_mtime_ns} {said.st_ctime_ns} {said.st_ino}"
