"""One database, SQLite in a file or PostgreSQL at an address, and its transactions."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from secondread.errors import UserError

BUSY_MS = 30_000
"""How long a writer of SQLite waits for another."""
AGAIN_S = 0.01


class Database:
    """Transactions on the tables.

    `write` is a transaction that may change rows; with SQLite it waits for its turn before it reads, so that
    two never find that they read what the other has changed. `read` is one that changes nothing. What a
    committed transaction wrote is on the disk.
    """

    def __init__(self, url: str) -> None:
        try:
            address = make_url(url)
            self.engine = create_engine(
                address,
                pool_pre_ping=True,
                hide_parameters=True,  # the text of an error would hold the patient's
                **_options(address.get_backend_name()),
            )
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise UserError(
                f"database {url.partition(':')[0]}…: {error}; write sqlite:///FOLDER/service.sqlite or "
                "postgresql+psycopg://USER@HOST/NAME"
            ) from None
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        if self.is_sqlite:
            if address.database:
                os.close(os.open(address.database, os.O_CREAT, 0o600))
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writing = self.engine.execution_options(secondread_writes=True)

    @contextmanager
    def write(self) -> Iterator[Session]:
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()


def _options(backend: str) -> dict[str, Any]:
    if backend == "sqlite":
        return {"connect_args": {"timeout": BUSY_MS / 1000}}
    return {"connect_args": {"connect_timeout": 10}, "pool_size": 8, "max_overflow": 8}


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy says when a transaction begins, not the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _write_ahead(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Write ahead of the file from now on. Where several connect to a new file at once, SQLite does not wait
    for the one that changes it, as it does for writers; so it is asked again."""
    latest = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > latest:
                raise
            time.sleep(AGAIN_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("secondread_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
