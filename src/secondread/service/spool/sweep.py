"""Leftovers of the spool: what killed processes wrote and no row came to name.

Nobody was told that it is there. What somebody is writing, or has written and is about to commit, is held by
its lock and stays, on whatever machine that is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import select

from secondread.outputs.lock import hold
from secondread.outputs.whole import remove_unheld
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.tables import Instance, Reading

BATCH = 500


def sweep(spool: Spool, database: Database) -> int:
    """Remove the leftovers; how many there were. Raises what the database raises."""
    removed = 0
    for path in list(spool.incoming.iterdir()):
        remove_unheld(path)
        removed += not path.exists()
    files = (path for series in spool.instances.glob("*/*/*") for path in _in(series))
    folders = (path for study in spool.readings.glob("*/*") for path in _in(study))
    for paths, column in ((files, Instance.path), (folders, Reading.folder)):
        for batch in _batches(paths):
            names = [spool.name_of(path) for path in batch]
            with database.read() as session:
                known = set(session.scalars(select(column).where(column.in_(names))))
            for path, name in zip(batch, names, strict=True):
                if name not in known:
                    removed += _remove_unnamed(path, name, column, spool, database)
    return removed


def _remove_unnamed(path: Path, name: str, column: object, spool: Spool, database: Database) -> bool:
    """Whoever holds it may commit his row before he lets it go: so the row is looked for under its lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        if not hold(path, descriptor):
            return False
        with database.read() as session:
            if session.scalar(select(column).where(column == name)) is not None:  # type: ignore[call-overload]
                return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        spool.remove(name)
        return True
    except OSError:
        return False  # held, or on a disk without locks, where nothing tells a leftover from work
    finally:
        os.close(descriptor)


def _in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    for path in paths:
        batch.append(path)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
