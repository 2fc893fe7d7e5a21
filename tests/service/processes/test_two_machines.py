"""Two machines at one database and one spool: the first receives, sends and shows, the second scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from postgres_server import PostgresServer
from sqlalchemy import func, select
from sqlalchemy.exc import ProgrammingError
from whole_service import (
    Archive,
    Running,
    Stream,
    account,
    configuration,
    made_bundle,
    wait_until_settled,
)

from secondread.service.store.database import Database
from secondread.service.store.tables import Job

LONGEST_S = 240.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_machine_that_scores_alone_reads_what_another_received_and_may_vanish(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    bundle = made_bundle(tmp_path)
    (tmp_path / "films").mkdir()
    with Archive() as archive:
        file = configuration(tmp_path, bundle, archive.port, database=postgres.new_url(), scorers=0)
        with Running(file) as first:
            stream = Stream(tmp_path / "films", first.settings.receive.port, pause_s=0.5, seed=1)
            stream.start()
            wait_until(lambda: waiting(first) >= 2)
            with Running(second_machine(file), "--scorers-only") as second:
                wait_until(lambda: len(archive.received) >= 1)
                assert [child.cmdline()[3] for child in second.children()] == ["scorer"]
                family = psutil.Process(second.pid).children(recursive=True)
                for process in (psutil.Process(second.pid), *family):
                    process.kill()
                psutil.wait_procs(family, timeout=60)
            wait_until(lambda: waiting(first) >= 2)
            stream.enough()
            with Running(second_machine(file), "--scorers-only") as third:
                wait_until_settled(first, within_s=LONGEST_S)
                assert third.stop() == 0
            assert first.stop() == 0
            found = account(first, stream.sent, archive, tmp_path)
    assert (found.lost, found.doubled, found.wrong) == ((), (), ())
    assert found.results == found.studies >= 4


def second_machine(file: Path) -> Path:
    """Its configuration: the same spool, and a scorer."""
    told = yaml.safe_load(file.read_text())
    folder = file.parent / "second"
    folder.mkdir(exist_ok=True)
    other = folder / file.name
    other.write_text(yaml.safe_dump(told | {"spool": str(file.parent / "spool"), "scorers": 1}))
    return other


def waiting(running: Running) -> int:
    """Studies that nobody reads yet."""
    database = Database(running.settings.database_url)
    try:
        with database.read() as session:
            jobs = select(func.count()).where(Job.kind == "score", Job.state == "waiting")
            return session.scalar(jobs) or 0
    except ProgrammingError:
        return 0  # the first start makes the tables
    finally:
        database.close()


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + LONGEST_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.2)
