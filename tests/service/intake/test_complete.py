"""A study is complete when nothing came for a while, by a clock that nobody sets back."""

from __future__ import annotations

import pytest
from intake_instances import film, report
from sqlalchemy import select

from secondread.service.intake.complete import QuietClock, complete_committed, complete_quiet_studies
from secondread.service.intake.receive import receive_instance
from secondread.service.store.tables import Instance, Job, Study


class Hands:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def look(database, settings, hands):
    clock = QuietClock(hands)

    def looked(at: float) -> int:
        hands.now = at
        return complete_quiet_studies(database, settings, clock)

    return looked


@pytest.fixture
def receive(database, spool, settings):
    return lambda data, sender="M": receive_instance(database, spool, settings, data, sender)


def jobs(database) -> list[tuple[str, int]]:
    with database.read() as session:
        return [(job.key, job.urgent) for job in session.scalars(select(Job).order_by(Job.id))]


def test_a_study_is_complete_after_the_quiet_time_and_once(look, receive, database):
    receive(film())
    assert [look(at) for at in (0, 59, 60, 61, 200)] == [0, 0, 1, 0, 0]
    assert jobs(database) == [("1:1", 0)]
    with database.read() as session:
        assert session.scalars(select(Study)).one().state == "waiting"


def test_each_new_instance_begins_the_quiet_time_again(look, receive, database):
    receive(film())
    look(0)
    look(59)
    receive(film())
    assert [look(at) for at in (60, 119, 120)] == [0, 0, 1]
    assert jobs(database) == [("1:2", 0)]


def test_a_clock_that_was_set_back_changes_nothing(look, receive, database):
    receive(film())
    with database.write() as session:
        study = session.scalars(select(Study)).one()
        study.last_received = study.last_received.replace(year=2099)
    assert [look(at) for at in (0, 60)] == [0, 1]


def test_a_late_image_asks_for_another_reading(look, receive, database):
    receive(film())
    look(0)
    look(60)
    receive(film())
    look(70)
    assert look(130) == 1
    assert jobs(database) == [("1:1", 0), ("1:2", 0)]


def test_a_study_without_an_image_is_not_read(look, receive, database):
    receive(report())
    look(0)
    assert look(60) == 1
    assert jobs(database) == []
    with database.read() as session:
        study = session.scalars(select(Study)).one()
    assert (study.state, study.reason) == ("not read", "it holds no image")


def test_what_was_asked_for_comes_after_what_came_by_itself(look, receive, database):
    receive(film("1.2.3.1"), "backfill PACS")
    receive(film("1.2.3.2"))
    look(0)
    assert look(60) == 2
    assert sorted(jobs(database)) == [("1:1", -1), ("2:1", 0)]


def test_commitment_of_every_instance_completes_at_once(receive, database):
    receive(film())
    receive(film())
    with database.read() as session:
        uids = list(session.scalars(select(Instance.sop_instance_uid)))
    with database.write() as session:
        assert complete_committed(session, uids[:1]) == 0
        assert complete_committed(session, uids) == 1
        assert complete_committed(session, uids) == 0
    assert jobs(database) == [("1:2", 0)]
