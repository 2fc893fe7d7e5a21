"""Workers that end, die, or are only slow, and what becomes of their jobs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from secondread.service.store.away import Stopped
from secondread.service.store.database import Database
from secondread.service.store.jobs import claim, enqueue, now
from secondread.service.store.tables import Job, Table, Worker
from secondread.service.store.workers import Registered, Watch, release_gone, release_process


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path / 'service.sqlite'}")
    Table.metadata.create_all(found.engine)
    with found.write() as session:
        enqueue(session, "score", "1:1")
    return found


def comes_back(database: Database) -> None:
    with database.write() as session:
        Table.metadata.create_all(session.connection())


def state(database: Database) -> tuple[str, int]:
    with database.read() as session:
        return session.query(Job).one().state, session.query(Worker).count()


def test_a_worker_that_ends_gives_its_jobs_back(database: Database) -> None:
    with Registered(database, "scorer") as worker:
        assert claim(database, ["score"], worker.id) is not None
        assert state(database) == ("running", 1)
    assert state(database) == ("waiting", 0)


def test_a_worker_waits_for_a_database_that_is_away_when_it_begins(tmp_path: Path) -> None:
    away, stop = Database(f"sqlite:///{tmp_path / 'away.sqlite'}"), threading.Event()
    back = threading.Timer(0.3, lambda: comes_back(away))
    back.start()
    with Registered(away, "scorer", stop), away.read() as session:
        assert session.query(Worker).count() == 1
    back.join()


def test_a_worker_that_is_told_to_end_while_it_waits_ends(tmp_path: Path) -> None:
    away, stop = Database(f"sqlite:///{tmp_path / 'away.sqlite'}"), threading.Event()
    stop.set()
    with pytest.raises(Stopped), Registered(away, "scorer", stop):
        pass


def test_who_takes_no_jobs_begins_without_the_database_and_registers_when_it_is_back(tmp_path: Path) -> None:
    away = Database(f"sqlite:///{tmp_path / 'away.sqlite'}")
    with Registered(away, "page", beat_s=0.01) as page:
        comes_back(away)
        for _ in range(500):
            with away.read() as session:
                if session.query(Worker).count():
                    break
            page._end.wait(0.01)
        with away.read() as session:
            assert session.query(Worker).count() == 1


def test_only_a_worker_that_stands_still_is_dead(database: Database) -> None:
    at = [0.0]
    watch = Watch(dead_after_s=60, clock=lambda: at[0])
    with Registered(database, "scorer", beat_s=1000) as worker:
        claim(database, ["score"], worker.id)
        assert watch.release_dead(database) == 0
        at[0] = 50
        with database.write() as session:
            session.query(Worker).update({"beat": 1})
        assert watch.release_dead(database) == 0
        at[0] = 109
        assert watch.release_dead(database) == 0
        assert state(database) == ("running", 1)
        at[0] = 110
        assert watch.release_dead(database) == 1
        assert state(database) == ("waiting", 0)


def test_nobody_is_dead_because_the_database_was_away(database: Database, tmp_path: Path) -> None:
    at = [0.0]
    watch = Watch(dead_after_s=60, clock=lambda: at[0])
    with Registered(database, "scorer", beat_s=1000):
        watch.release_dead(database)
        away = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
        with pytest.raises(Exception, match="no such table"):
            watch.release_dead(away)
        at[0] = 1000
        assert watch.release_dead(database) == 0


def test_whoever_was_taken_for_dead_wrongly_registers_again(database: Database) -> None:
    with Registered(database, "scorer", beat_s=0.01) as worker:
        with database.write() as session:
            session.query(Worker).delete()
        for _ in range(500):
            if state(database)[1]:
                break
            worker._end.wait(0.01)
        assert state(database)[1] == 1


def test_a_job_of_a_worker_without_a_row_is_released(database: Database) -> None:
    claim(database, ["score"], "gone")
    assert Watch().release_dead(database) == 1
    assert state(database) == ("waiting", 0)


def test_the_jobs_of_a_process_that_died_are_released_by_its_name(database: Database) -> None:
    with database.write() as session:
        session.add(Worker(id="scorer-1-ab_c.77", host="h", pid=1, role="scorer", beat=3, started=now()))
    claim(database, ["score"], "scorer-1-ab_c.77")
    assert release_process(database, "scorer-1-ab%c") == 0
    assert release_process(database, "scorer-1-ab_c") == 1
    assert state(database) == ("waiting", 0)


def test_a_new_start_releases_what_the_last_run_left(database: Database) -> None:
    with database.write() as session:
        session.add(Worker(id="old", host="here", pid=1, role="scorer", beat=3, started=now()))
    claim(database, ["score"], "old")
    assert release_gone(database) == 1
    assert state(database) == ("waiting", 0)
