"""The queue in SQLite: once, one at a time, never lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from secondread.service.store.database import Database
from secondread.service.store.jobs import (
    LONGEST_DELAY,
    LostClaim,
    claim,
    enqueue,
    finish,
    give_back,
    now,
    release,
    try_again,
)
from secondread.service.store.tables import Job, Table


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path / 'service.sqlite'}")
    Table.metadata.create_all(found.engine)
    return found


def test_a_job_of_one_key_is_written_once(database: Database) -> None:
    with database.write() as session:
        assert enqueue(session, "score", "1") is True
        assert enqueue(session, "score", "1") is False
        assert enqueue(session, "send", "1") is True


def test_the_urgent_one_is_taken_first_and_none_twice(database: Database) -> None:
    with database.write() as session:
        enqueue(session, "score", "a")
        enqueue(session, "score", "b", urgent=1)
    taken = [claim(database, ["score"], "w") for _ in range(3)]
    assert [one and one.key for one in taken] == ["b", "a", None]


def test_whoever_lost_a_job_changes_nothing_any_more(database: Database) -> None:
    with database.write() as session:
        enqueue(session, "score", "a")
    slow = claim(database, ["score"], "slow")
    assert slow is not None
    with database.write() as session:
        assert release(session, "slow") == 1
    quick = claim(database, ["score"], "quick")
    assert quick is not None
    assert quick.tries == 2

    def end_with_an_effect() -> None:
        with database.write() as session:
            enqueue(session, "send", "an effect")
            finish(session, slow)

    with pytest.raises(LostClaim):
        end_with_an_effect()
    with database.write() as session:
        finish(session, quick)
        assert session.query(Job).filter(Job.kind == "send").count() == 0
        assert session.query(Job).one().state == "done"


def test_a_job_that_is_given_back_has_not_been_tried(database: Database) -> None:
    with database.write() as session:
        enqueue(session, "score", "a")
    first = claim(database, ["score"], "w")
    assert first is not None
    with database.write() as session:
        give_back(session, first)
    again = claim(database, ["score"], "w")
    assert again is not None
    assert again.tries == 1


def test_a_job_waits_until_its_time_but_not_for_a_clock_that_was_set_back(database: Database) -> None:
    with database.write() as session:
        enqueue(session, "send", "a")
    first = claim(database, ["send"], "w")
    assert first is not None
    with database.write() as session:
        try_again(session, first, "away", timedelta(minutes=5))
    assert claim(database, ["send"], "w") is None
    with database.write() as session:
        session.query(Job).update({"not_before": now() + LONGEST_DELAY + timedelta(hours=1)})
    assert claim(database, ["send"], "w") is not None
