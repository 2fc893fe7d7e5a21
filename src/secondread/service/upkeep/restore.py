"""A backup becomes the service again: its files first, then its database, in one step each.

What was acknowledged after the backup has no row in it, so nobody is told that it is there: its files are
leftovers, which the next start removes, and whoever sends it again finds it taken in as new.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, func, inspect, select
from sqlalchemy.orm import Session

from secondread.errors import UserError
from secondread.outputs.lock import holder, only_one
from secondread.outputs.private import FILE, make_folder
from secondread.outputs.whole import sync, whole_file
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import BLOCK, Spool
from secondread.service.store import audit
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Instance, LoginSession, Reading, Study, Worker
from secondread.service.store.workers import bury
from secondread.service.upkeep import postgres_programs
from secondread.service.upkeep.copied import POSTGRES, SQLITE, there_is
from secondread.service.upkeep.manifest import Manifest, digest_of, verify
from secondread.service.watching.streams import FILE as DRIFT
from secondread.terminal.events import log_event


@dataclass(frozen=True)
class Restored:
    """made   when the backup was made
    studies   in the database now
    files     that were put into the spool
    missing   instances that have a row and no file: whoever sends them again finds them taken in
    leftover  files of the spool that have no row: the next start removes them
    """

    made: datetime
    studies: int
    files: int
    missing: int
    leftover: int


def restore(settings: ServiceSettings, folder: Path, *, person: str, force: bool = False) -> Restored:
    """Put a backup back, after each of its files was compared with its SHA-256.

    person  for the audit
    force   also where a service's database or files are there: the database is replaced, and files of the
            backup are added
    Raises UserError where a service is at work, something is there without `force`, or the backup is of
    another kind of database or a newer version; DataError where the backup is damaged. The database is then
    as it was.
    """
    manifest, digests = verify(folder)
    database = _kind(settings)
    if manifest.database != database:
        raise UserError(
            f"{folder}: is a backup of {manifest.database}, and the configuration names {database}; restore "
            "into a database of the same kind"
        )
    with _held(settings.spool):
        if not force:
            _refuse_what_is_there(settings)
        spool = Spool(settings.spool)
        files = sum(
            _put(folder / path, spool.folder / path, digest)
            for path, digest in digests.items()
            if path not in (SQLITE, POSTGRES, DRIFT)
        )
        if DRIFT in digests:
            _put(folder / DRIFT, spool.folder / DRIFT, digests[DRIFT])
        else:  # that of another database would pass over readings of this one
            (spool.folder / DRIFT).unlink(missing_ok=True)
        put = _put_sqlite if database == "sqlite" else _put_postgres
        found = put(settings, folder, manifest, spool, person)
    log_event("backup restored", studies=found[0], files=files, missing=found[1], leftover=found[2])
    return Restored(manifest.made, found[0], files, found[1], found[2])


def _kind(settings: ServiceSettings) -> str:
    database = Database(settings.database_url) if settings.database else None
    if database is None:
        return "sqlite"
    database.close()
    return database.engine.dialect.name


@contextmanager
def _held(spool: Path) -> Iterator[None]:
    """No service is at work there, and none starts."""
    make_folder(spool)
    try:
        holding = only_one(spool)
        holding.__enter__()
    except UserError as error:
        if not (who := holder(spool)):
            raise
        raise UserError(f"{spool}: a service is at work here ({who}); end it first") from error
    try:
        yield
    finally:
        holding.__exit__(None, None, None)


def _refuse_what_is_there(settings: ServiceSettings) -> None:
    spool = settings.spool
    for name in ("instances", "readings"):
        if any(path.is_file() for path in (spool / name).rglob("*")):
            raise UserError(
                f"{spool}: holds studies; restore into an empty spool, or replace its database with --force"
            )
    if not there_is(settings.database_url):
        return
    database = Database(settings.database_url)
    try:
        filled = bool(inspect(database.engine).get_table_names())
    finally:
        database.close()
    if filled:
        place = "the database" if settings.database else spool
        raise UserError(f"{place}: holds a service's database; replace it with --force")


def _put(source: Path, target: Path, digest: str) -> bool:
    """Copy a file unless it is there already; whether it was copied."""
    if target.is_file() and digest_of(target) == digest:
        return False
    with source.open("rb") as old, whole_file(target) as new:
        shutil.copyfileobj(old, new, BLOCK)
    return True


def _put_sqlite(
    settings: ServiceSettings, folder: Path, manifest: Manifest, spool: Spool, person: str
) -> tuple[int, int, int]:
    """Everything is done to a copy beside the database, which then takes its place."""
    target = Path(Database(settings.database_url).engine.url.database or "")
    make_folder(target.parent)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".restoring-"))
    try:
        new = beside / target.name
        shutil.copyfile(folder / SQLITE, new)
        new.chmod(FILE)
        database = Database(f"sqlite:///{new}")
        try:
            migrate(database)
            found = _settle(database, spool, manifest, person)
        finally:
            database.close()
        _single_file(new)
        sync(new)
        if target.stat().st_size:
            _single_file(target)  # whatever moment this ends at, one of the two is there and whole
        for ending in ("-wal", "-shm"):
            target.with_name(target.name + ending).unlink(missing_ok=True)
        os.replace(new, target)
        sync(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return found


def _single_file(path: Path) -> None:
    """Take what SQLite wrote beside a file into it. A file that is damaged stays as it is."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.OperationalError as error:
        raise UserError(f"{path}: is in use ({error}); end whoever uses it") from None
    except sqlite3.DatabaseError:
        return


def _put_postgres(
    settings: ServiceSettings, folder: Path, manifest: Manifest, spool: Spool, person: str
) -> tuple[int, int, int]:
    database = Database(settings.database_url)
    try:
        with tempfile.TemporaryDirectory() as scratch, database.engine.connect() as connection:
            postgres_programs.put_back(connection, database.engine.url, folder / POSTGRES, Path(scratch))
        migrate(database)
        return _settle(database, spool, manifest, person)
    finally:
        database.close()


def _settle(database: Database, spool: Spool, manifest: Manifest, person: str) -> tuple[int, int, int]:
    """Nobody works for this database yet, and nobody is logged in. How many studies, rows without a file, and
    files without a row there are."""
    with database.write() as session:
        for worker in session.scalars(select(Worker.id)).all():
            bury(session, worker)
        session.execute(delete(LoginSession))
        detail = f"backup of {manifest.made.isoformat(timespec='seconds')}"
        audit.record(session, person, "restored", detail=detail)
        studies = session.scalar(select(func.count()).select_from(Study)) or 0
        missing, leftover = _compare(session, spool)
    return studies, missing, leftover


def _compare(session: Session, spool: Spool) -> tuple[int, int]:
    named = set(session.scalars(select(Instance.path).where(Instance.size > 0)))
    missing = sum(not spool.has(path) for path in named)
    leftover = sum(
        spool.name_of(path) not in named for path in spool.instances.rglob("*.dcm") if path.is_file()
    )
    folders = set(session.scalars(select(Reading.folder)))
    leftover += sum(spool.name_of(path) not in folders for path in spool.readings.glob("*/*/*"))
    return missing, leftover
