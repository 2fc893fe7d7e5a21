"""The spool keeps what it was given, under names that tell nothing, and loses only leftovers."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from secondread.errors import DataError
from secondread.service.spool.files import Spool, TooLarge, Unwanted
from secondread.service.spool.sweep import sweep
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Instance, Reading, Study, Table

UIDS = ("1.2.3", "1.2.3.4", "../../etc/passwd")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path / 'service.sqlite'}")
    Table.metadata.create_all(found.engine)
    return found


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_kept_is_there_whole_with_its_digest(spool: Spool) -> None:
    data = os.urandom(3_000_000)
    for source in (data, io.BytesIO(data)):
        with spool.keep(*UIDS, source, largest=len(data)) as kept:
            assert spool.path_of(kept.path).read_bytes() == data
            assert (kept.size, kept.digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert len(files_in(spool.folder)) == 2


def test_names_tell_no_uid_and_lead_nowhere_else(spool: Spool) -> None:
    with spool.keep("../..", "/etc", "1.2.840.99", b"x", largest=9) as kept:
        assert "1.2.840.99" not in kept.path
    assert spool.path_of(kept.path).resolve().is_relative_to(spool.instances.resolve())
    for name in ("/etc/passwd", "instances/../../x", "service.sqlite", "", "incoming/x"):
        with pytest.raises(DataError):
            spool.path_of(name)


def test_others_cannot_look(spool: Spool) -> None:
    with spool.keep(*UIDS, b"x", largest=9) as kept:
        pass
    path = spool.path_of(kept.path)
    assert [place.stat().st_mode & 0o077 for place in (path, path.parent, spool.instances)] == [0, 0, 0]


def test_nothing_stays_of_what_is_too_large_or_unwanted(spool: Spool) -> None:
    with pytest.raises(TooLarge), spool.keep(*UIDS, io.BytesIO(b"12345"), largest=4):
        pass
    with spool.keep(*UIDS, b"x", largest=9):
        raise Unwanted
    assert files_in(spool.folder) == []
    assert list(spool.instances.iterdir()) == []


def test_a_sweep_removes_what_no_row_names_and_nobody_holds(spool: Spool, database: Database) -> None:
    (spool.incoming / "killed").write_bytes(b"half")
    for uid in ("named", "unnamed"):
        with spool.keep("1", "2", uid, b"x", largest=9) as kept, database.write() as session:
            if uid == "named":
                named = kept
                add_rows(session, kept.path, "")
    with spool.new_reading("1") as left:
        (left / "readings.csv").write_text("x")
        spool.sync_reading(left)
    with spool.keep("1", "2", "held", b"x", largest=9) as held, spool.new_reading("1") as folder:
        assert sweep(spool, database) == 3
        assert spool.path_of(held.path).is_file()
        assert folder.is_dir()
    assert not left.exists()
    assert sweep(spool, database) == 2
    assert files_in(spool.folder) == [spool.path_of(named.path)]


def test_a_reading_that_a_row_names_stays(spool: Spool, database: Database) -> None:
    with spool.new_reading("1") as folder:
        spool.sync_reading(folder)
        with database.write() as session:
            add_rows(session, "instances/00/00/00/00-00.dcm", spool.name_of(folder))
    assert sweep(spool, database) == 0
    assert folder.is_dir()
    spool.remove(spool.name_of(folder))
    assert list(spool.readings.iterdir()) == []


def add_rows(session: Session, path: str, folder: str) -> None:
    at = now()
    study = Study(study_uid="1", state="waiting", first_received=at, last_received=at)
    session.add(study)
    session.flush()
    session.add(
        Instance(
            study_id=study.id, sop_instance_uid="1", sop_class_uid="1", series_uid="1", path=path, size=1,
            digest="", revision=1, received=at,
        )
    )  # fmt: skip
    session.add(Reading(study_id=study.id, revision=1, bundle="b", bundle_digest="", folder=folder, at=at))
