"""A backup is one moment of a service at work, and becomes that service again, or says why not."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from upkeep_service import Service, made

from secondread.errors import DataError, UserError
from secondread.outputs.lock import only_one
from secondread.service.spool.sweep import sweep
from secondread.service.store import audit
from secondread.service.store.jobs import claim, enqueue, now
from secondread.service.store.migrate import check_version
from secondread.service.store.tables import Audit, Instance, Job, Worker
from secondread.service.upkeep.backup import make_backup
from secondread.service.upkeep.manifest import read_manifest
from secondread.service.upkeep.nightly import FORM, Nightly, backups, is_due
from secondread.service.upkeep.restore import restore

FIRST = Path(__file__).with_name("first_version.sql")


def jobs(service: Service) -> dict[str, str]:
    with service.database.read() as session:
        return {f"{job.kind} {job.key}": job.state for job in session.scalars(select(Job))}


def test_a_backup_becomes_the_service_again(service: Service, tmp_path: Path) -> None:
    service.study("1.1")
    service.study("1.2", state="waiting", job="waiting")
    with service.database.write() as session:
        session.add(Worker(id="w", host="h", pid=1, role="scorer", beat=0, started=now()))
        audit.record(session, "ada", "viewed", study_uid="1.1")
    claim(service.database, ["score"], "w")
    (service.spool.folder / "drift.json").write_text("{}")
    manifest = make_backup(service.settings, tmp_path / "b", spool=True)
    assert (manifest.studies, manifest.instances, manifest.missing, manifest.damaged) == (2, 4, 0, 0)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "b").rglob("*"))
    again = made(tmp_path / "other")
    again.database.close()
    (again.spool.folder / "service.sqlite").unlink()
    done = restore(again.settings, tmp_path / "b", person="[root]")
    assert (done.studies, done.files, done.missing, done.leftover) == (2, 4 + 3, 0, 0)
    check_version(again.database)
    assert (again.rows(), again.files()) == (service.rows(), service.files())
    assert again.states() == service.states()
    assert (again.spool.folder / "drift.json").read_text() == "{}"
    assert jobs(again) == {"score 1:1": "done", "score 2:1": "waiting"}
    with again.database.read() as session:
        assert session.scalars(select(Audit.action).order_by(Audit.id)).all() == ["viewed", "restored"]
        assert audit.verify(session, manifest.audit_head).whole
        assert session.scalar(select(func.count()).select_from(Worker)) == 0
    assert sweep(again.spool, again.database) == 0
    again.database.close()


def test_a_copy_is_of_one_moment_while_others_write(service: Service, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            with service.database.write() as session:
                for kind in ("a", "b"):
                    enqueue(session, kind, str(number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            make_backup(service.settings, tmp_path / f"b{number}")
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        with sqlite3.connect(tmp_path / f"b{number}" / "service.sqlite") as copy:
            kinds = dict(copy.execute("SELECT kind, count(*) FROM job GROUP BY kind"))
        assert kinds.get("a") == kinds.get("b")
    assert not list(tmp_path.glob("b*/*-wal"))


def test_files_are_hard_links_and_copies_where_there_are_none(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.study("1.1")
    make_backup(service.settings, tmp_path / "linked", spool=True)
    assert {path.stat().st_nlink for path in (tmp_path / "linked").rglob("*.dcm")} == {2}
    with service.database.read() as session:
        first = session.scalars(select(Instance)).first()
    assert first is not None
    service.spool.path_of(first.path).write_bytes(b"rotten")

    def elsewhere(*_names: object, **_options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", elsewhere)
    manifest = make_backup(service.settings, tmp_path / "copied", spool=True)
    assert (manifest.damaged, manifest.missing) == (1, 0)


def test_what_came_after_the_backup_is_said_to_be_nowhere(service: Service, tmp_path: Path) -> None:
    service.study("1.1")
    make_backup(service.settings, tmp_path / "b")
    service.study("1.2")
    (service.spool.folder / "drift.json").write_text("of readings that will be no more")
    with service.database.read() as session:
        lost = session.scalars(select(Instance).where(Instance.sop_instance_uid.startswith("1.1."))).first()
    assert lost is not None
    service.spool.remove(lost.path)
    with pytest.raises(UserError, match=r"holds studies.*--force"):
        restore(service.settings, tmp_path / "b", person="[root]")
    with service.database.read() as session:
        session.scalars(select(Instance)).first()
        with pytest.raises(UserError, match="is in use"):
            restore(service.settings, tmp_path / "b", person="[root]", force=True)
    assert service.states() == {"1.1": "read", "1.2": "read"}
    service.database.close()
    done = restore(service.settings, tmp_path / "b", person="[root]", force=True)
    assert (done.studies, done.files, done.missing, done.leftover) == (1, 0, 1, 3)
    assert not (service.spool.folder / "drift.json").exists()
    assert service.states() == {"1.1": "read"}
    assert sweep(service.spool, service.database) == 3
    assert len(service.files()) == 1 + 3


def test_a_damaged_backup_and_a_spool_in_use_are_refused_and_change_nothing(
    service: Service, tmp_path: Path
) -> None:
    service.study("1.1")
    make_backup(service.settings, tmp_path / "b", spool=True)
    with only_one(service.spool.folder), pytest.raises(UserError, match=r"a service is at work.*process"):
        restore(service.settings, tmp_path / "b", person="[root]", force=True)
    broken = next((tmp_path / "b").rglob("readings.csv"))
    broken.unlink()
    broken.write_text("other")
    before = service.rows()
    with pytest.raises(DataError, match=r"readings\.csv: is not as it was written"):
        restore(service.settings, tmp_path / "b", person="[root]", force=True)
    broken.unlink()
    with pytest.raises(DataError, match=r"readings\.csv: cannot be read"):
        restore(service.settings, tmp_path / "b", person="[root]", force=True)
    with pytest.raises(UserError, match="is no backup"):
        restore(service.settings, tmp_path, person="[root]", force=True)
    with pytest.raises(UserError, match="is there already"):
        make_backup(service.settings, tmp_path / "b")
    assert service.rows() == before
    with pytest.raises(UserError, match="holds no database yet"):
        make_backup(service.settings.model_copy(update={"spool": tmp_path / "none"}), tmp_path / "c")


def test_a_backup_of_the_first_version_is_brought_to_this_one_with_its_queue(
    service: Service, tmp_path: Path
) -> None:
    service.database.close()
    file = service.spool.folder / "service.sqlite"
    file.unlink()
    with sqlite3.connect(file) as first:
        first.executescript(FIRST.read_text("utf-8"))
    assert make_backup(service.settings, tmp_path / "b").revision == "0001"
    done = restore(service.settings, tmp_path / "b", person="[root]", force=True)
    assert (done.studies, done.missing) == (2, 1)
    check_version(service.database)
    assert jobs(service) == {
        "score 4:1": "done", "score 3:2": "waiting", "send 1:pacs": "waiting", "tell 1:mail": "set aside",
    }  # fmt: skip
    claimed = claim(service.database, ["score"], "w")
    assert claimed is not None
    assert (claimed.key, claimed.study_id, claimed.tries) == ("3:2", 3, 2)


def test_a_backup_of_postgresql_becomes_the_service_again(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server = request.getfixturevalue("postgres")
    service = made(tmp_path, server.new_url())
    service.study("1.1", state="waiting", job="waiting")
    make_backup(service.settings, tmp_path / "b", spool=True)
    rows = service.rows()
    service.study("1.2")
    with pytest.raises(UserError, match="--force"):
        restore(service.settings, tmp_path / "b", person="[root]")
    done = restore(service.settings, tmp_path / "b", person="[root]", force=True)
    assert (done.studies, done.missing, done.leftover) == (1, 0, 3)
    assert (service.rows(), jobs(service)) == (rows, {"score 1:1": "waiting"})
    service.study("1.3")  # numbers go on after those that were given
    with pytest.raises(UserError, match="of the same kind"):
        restore(made(tmp_path / "other").settings, tmp_path / "b", person="[root]", force=True)
    service.database.close()


def test_a_backup_is_made_each_night_and_the_oldest_go(tmp_path: Path) -> None:
    folder = tmp_path / "nights"
    service = made(tmp_path, backups=str(folder), keep=2, backup_hour=2)
    evening = datetime.now().astimezone().replace(hour=20, minute=0, second=0, microsecond=0)
    at = [evening - timedelta(days=5)]
    nightly = Nightly(service.settings, lambda: at[0])

    def look(hours: float) -> bool:
        at[0] += timedelta(hours=hours)
        begun = nightly.look()
        nightly.wait(60)
        return begun

    (folder / "backup-of-somebody").mkdir(parents=True)
    assert [look(hours) for hours in (0, 1, 4, 1.1, 1, 24, 24)] == [
        True,
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    assert len(backups(folder)) == 2
    assert (folder / "backup-of-somebody").is_dir()
    newest = next(iter(backups(folder)))
    assert newest.name == at[0].astimezone(UTC).strftime(FORM)
    assert read_manifest(newest).spool is False
    assert is_due(service.settings, at[0] - timedelta(days=30))  # the clock was set back
    service.database.close()


def test_a_backup_that_fails_is_told_until_one_is_made(tmp_path: Path) -> None:
    (tmp_path / "nights").write_text("a file")
    service = made(tmp_path, backups=str(tmp_path / "nights"))
    nightly = Nightly(service.settings)
    assert nightly.look()
    nightly.wait(60)
    with pytest.raises(UserError):
        nightly.look()
    nightly.wait(60)
    (tmp_path / "nights").unlink()
    with pytest.raises(UserError):
        nightly.look()
    nightly.wait(60)
    assert not nightly.look()
    service.database.close()
