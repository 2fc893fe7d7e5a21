"""The database as it stands at one moment, while others write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from secondread.errors import DataError, UserError
from secondread.service.store.database import Database
from secondread.service.upkeep import postgres_programs

SQLITE, POSTGRES = "service.sqlite", "database.dump"
BUSY_S = 30.0


def there_is(url: str) -> bool:
    """Whether a file of SQLite is there; of a server it is not known. To look makes no file."""
    try:
        address = make_url(url)
    except ArgumentError:
        return True  # whoever opens it says what is wrong
    return address.get_backend_name() != "sqlite" or Path(address.database or "").exists()


@contextmanager
def copied(database: Database, folder: Path) -> Iterator[Connection]:
    """Write a copy into the folder; within the block, the connection sees the copy's rows and no others.

    Writers go on meanwhile. Raises UserError where a program is missing, DataError where the file is damaged,
    and what the database raises.
    """
    if database.is_sqlite:
        copy_sqlite(Path(database.engine.url.database or ""), folder / SQLITE)
        address = URL.create("sqlite", database=str(folder / SQLITE))
        with create_engine(address, poolclass=NullPool).connect() as connection:
            yield connection
        return
    whole = database.engine.connect().execution_options(isolation_level="REPEATABLE READ")
    with whole as connection:
        snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
        postgres_programs.dump(database.engine.url, folder / POSTGRES, snapshot)
        yield connection


def copy_sqlite(source: Path, target: Path) -> None:
    """A single file, whole by itself, of what was committed. Raises DataError where the source is damaged."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", BUSY_S, uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)  # all pages in one read transaction, which holds no writer up
            new.execute("PRAGMA journal_mode=DELETE")
            (found,) = new.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "unable to open" in str(error):
            raise UserError(f"{source}: cannot be opened; check who may read it") from None
        raise UserError(f"{source}: cannot be copied ({error})") from None
    except sqlite3.DatabaseError as error:
        raise DataError(f"{source}: is damaged ({error}); restore a backup") from None
    if found != "ok":
        raise DataError(f"{source}: is damaged; restore a backup")


def revision_of(connection: Connection, about: object) -> str:
    """Which version's tables there are. Raises UserError where there are none."""
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        raise UserError(f"{about}: holds no service yet; `secondread serve` makes its tables")
    return found
