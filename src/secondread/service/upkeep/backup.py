"""A copy of a service that may be at work: its database at one moment, and on request the files it names.

Files of the spool never change after their row was committed, so they are hard links where backup and spool
lie on one disk, and copies elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, func, select

from secondread.errors import UserError
from secondread.outputs.lock import only_one
from secondread.outputs.private import make_folder
from secondread.outputs.whole import whole_folder
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import BLOCK, Spool
from secondread.service.store.database import Database
from secondread.service.store.tables import Audit, Instance, Reading, Study
from secondread.service.upkeep.copied import POSTGRES, SQLITE, copied, revision_of, there_is
from secondread.service.upkeep.manifest import FORMAT, NAME, Manifest, digest_of, write_sums
from secondread.service.watching.streams import FILE as DRIFT
from secondread.terminal.events import log_event
from secondread.version import __version__


def make_backup(settings: ServiceSettings, folder: Path, *, spool: bool = False) -> Manifest:
    """Write a backup, which is there whole or not at all.

    spool  with the files of instances and readings
    Raises UserError where the folder is there, there is no service, or a program is missing; DataError where
    the database is damaged.
    """
    if folder.exists():
        raise UserError(f"{folder}: is there already; give the backup a new folder with -o")
    if not there_is(settings.database_url):
        raise UserError(f"{settings.spool}: holds no database yet; there is nothing to back up")
    database = Database(settings.database_url)
    try:
        with only_one(folder, beside=True), whole_folder(folder) as temporary:
            return _write(database, settings.spool, temporary, spool=spool)
    finally:
        database.close()


def _write(database: Database, place: Path, folder: Path, *, spool: bool) -> Manifest:
    files = _Files(folder)
    files.take_drift(place)  # before the database, so that it knows no reading that the copy has not
    with copied(database, folder) as connection:
        revision = revision_of(connection, "the database")
        studies = connection.scalar(select(func.count()).select_from(Study.__table__)) or 0
        with_file = select(func.count()).select_from(Instance.__table__).where(Instance.size > 0)
        instances = connection.scalar(with_file) or 0
        head = connection.scalar(select(Audit.chain).order_by(Audit.id.desc()).limit(1)) or ""
        if spool:
            whole = Spool(place)
            for path, digest in _named(connection, whole):
                files.take(whole, path, digest)
    name = SQLITE if database.is_sqlite else POSTGRES
    files.digests[name] = digest_of(folder / name)
    manifest = Manifest(
        format=FORMAT, secondread=__version__, made=datetime.now(UTC),
        database="sqlite" if database.is_sqlite else "postgresql", revision=revision,
        studies=studies, instances=instances, spool=spool,
        missing=files.missing, damaged=files.damaged, audit_head=head,
        sums=write_sums(folder, files.digests),
    )  # fmt: skip
    (folder / NAME).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    log_event("backup made", studies=studies, files=len(files.digests), missing=files.missing)
    return manifest


def _named(connection: Connection, spool: Spool) -> Iterator[tuple[str, str]]:
    """The files that rows name, with their SHA-256 where the row says it."""
    rows = connection.execute(select(Instance.path, Instance.digest).where(Instance.size > 0))
    yield from ((path, digest) for path, digest in rows)
    for (name,) in connection.execute(select(Reading.folder).where(Reading.folder != "")):
        for file in sorted(spool.path_of(name).rglob("*")):
            if file.is_file():
                yield spool.name_of(file), ""


@dataclass
class _Files:
    folder: Path
    digests: dict[str, str] = field(default_factory=dict)
    missing: int = 0
    damaged: int = 0

    def take_drift(self, place: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.digests[DRIFT] = _copy(place / DRIFT, self.folder / DRIFT)

    def take(self, spool: Spool, path: str, digest: str) -> None:
        source, target = spool.folder / path if not digest else spool.path_of(path), self.folder / path
        make_folder(target.parent)
        try:
            found = _link(source, target, digest) or _copy(source, target)
        except FileNotFoundError:  # retention or erasure was quicker
            self.missing += 1
            return
        self.damaged += bool(digest) and found != digest
        self.digests[path] = found


def _link(source: Path, target: Path, digest: str) -> str:
    """The digest; empty where the disk, or another one, offers no hard link."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return ""
    return digest or digest_of(target)


def _copy(source: Path, target: Path) -> str:
    with source.open("rb") as old, target.open("xb") as new:
        shutil.copyfileobj(old, new, BLOCK)
    return digest_of(target)
