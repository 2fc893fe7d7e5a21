"""The queue in PostgreSQL, which the scorers of several machines share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from postgres_server import PostgresServer
from sqlalchemy import select

from secondread.service.store.away import Stopped, answers, patiently
from secondread.service.store.database import Database
from secondread.service.store.jobs import Claim, claim, enqueue, finish
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Job, Worker
from secondread.service.store.workers import Registered

JOBS, WORKERS = 40, 4


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    found = Database(postgres.new_url())
    migrate(found)
    with found.write() as session:
        for number in range(JOBS):
            enqueue(session, "score", str(number))
    yield found
    found.close()


def test_whoever_finds_a_job_locked_takes_the_next_one(database: Database) -> None:
    with database.write() as session:
        first = session.scalars(select(Job).order_by(Job.id).limit(1).with_for_update()).one()
        other = claim(database, ["score"], "b")
        assert other is not None
        assert (first.key, other.key) == ("0", "1")


def test_each_job_is_done_once_by_one_of_many(database: Database, postgres: PostgresServer) -> None:
    done: list[str] = []

    def work(name: str) -> None:
        own = Database(database.engine.url.render_as_string(hide_password=False))
        while (job := claim(own, ["score"], name)) is not None:
            with own.write() as session:
                finish(session, job)
            done.append(job.key)
        own.close()

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done, key=int) == [str(number) for number in range(JOBS)]


@pytest.mark.slow
def test_workers_wait_while_the_database_is_away_and_go_on(
    database: Database, postgres: PostgresServer
) -> None:
    stop, claims = threading.Event(), []

    def step() -> Claim | None:
        return claim(database, ["score"], "w")

    with Registered(database, "scorer", beat_s=0.05) as worker:
        assert step() is not None
        postgres.stop()
        assert not answers(database)
        thread = threading.Thread(target=lambda: claims.append(patiently(step, stop)))
        thread.start()
        time.sleep(0.5)
        assert thread.is_alive()
        postgres.start()
        thread.join()
        assert claims[0] is not None
        assert claims[0].key == "1"
        before = beat_of(database, worker.id)
        for _ in range(200):
            if beat_of(database, worker.id) > before:
                break
            time.sleep(0.05)
        assert beat_of(database, worker.id) > before


def test_whoever_waits_for_the_database_ends_when_told(database: Database, postgres: PostgresServer) -> None:
    postgres.stop()
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    try:
        with pytest.raises(Stopped):
            patiently(lambda: claim(database, ["score"], "w"), stop)
    finally:
        postgres.start()


def beat_of(database: Database, worker: str) -> int:
    with database.read() as session:
        row = session.get(Worker, worker)
        assert row is not None
        return row.beat
