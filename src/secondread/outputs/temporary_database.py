"""A table of more rows than memory holds: SQLite on the disk, for one process, and gone with it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from secondread.errors import UserError
from secondread.outputs.private import FILE

CACHE_KIB = 16_384
"""Held in memory: of the tables, and once more of what is being sorted."""
_PLACES = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108
_DISK = {
    sqlite3.SQLITE_FULL: "no room left to write it",
    sqlite3.SQLITE_IOERR: "cannot be written",
    sqlite3.SQLITE_CANTOPEN: "cannot be written",
}


class TemporaryDatabase:
    """It lies without a name in the system's folder for temporary files (`TMPDIR`), and so does what it
    sorts; a small one is never written, and none is left after `kill -9`. Texts with bytes that are not
    UTF-8, as file names may have, go through `stored` and `restored`.

    what        what it holds, for the one line where the disk is full
    most_pages  that it may have, of 4 KiB; none = as the disk has room
    kept        a file, for its owner alone, in which it stays after its process; `commit` says up to where

    All methods raise UserError where the disk is full or cannot be written.
    """

    def __init__(self, what: str, most_pages: int | None = None, *, kept: Path | None = None) -> None:
        self.what, self.kept = what, kept
        if kept is not None:
            os.close(os.open(kept, os.O_CREAT | os.O_RDWR, FILE))
        self._connection = sqlite3.connect(kept or "", isolation_level=None)
        journal = "OFF" if kept is None else "TRUNCATE"
        settings = [f"cache_size=-{CACHE_KIB}", "temp_store=FILE", "synchronous=OFF"]
        settings.append(f"journal_mode={journal}")
        for setting in (*settings, *([f"max_page_count={most_pages}"] if most_pages else [])):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute("BEGIN")

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """A statement that gives nothing."""
        for _ in self.rows(sql, values):
            pass

    def add(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """The same statement for many rows."""
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._told(error) from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """What a query gives, one row after the other."""
        try:
            # not `yield from`, which would close the cursor, perhaps after the database
            for row in self._connection.execute(sql, values):  # noqa: UP028
                yield row
        except sqlite3.Error as error:
            raise self._told(error) from error

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        """The one row that a query gives."""
        (row,) = self.rows(sql, values)
        return row

    def commit(self) -> None:
        """What was added so far outlives this process, though it be killed."""
        self.run("COMMIT")
        self._connection.execute("BEGIN")

    def close(self) -> None:
        self._connection.close()

    def _told(self, error: sqlite3.Error) -> Exception:
        """What a person can mend, in one line; any other error as it is."""
        problem = _DISK.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if problem is None:
            return error
        if self.kept is not None:
            return UserError(f"{self.kept}: {self.what}: {problem} ({error}); free some space and run again")
        return UserError(
            f"{temporary_place()}: {self.what}: {problem} ({error}); free some space, or set TMPDIR to a "
            "folder on another disk, and run again"
        )


def temporary_place() -> str:
    """The folder in which SQLite puts what has no name."""
    asked = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), *_PLACES)
    return next((place for place in asked if place and os.access(place, os.W_OK | os.X_OK)), os.curdir)


def stored(text: str) -> str | bytes:
    """A text as it may lie in a database: as bytes where some of it is not UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-8", "surrogatepass")
    return text


def restored(value: str | bytes) -> str:
    """The text of which `stored` made a value."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")
