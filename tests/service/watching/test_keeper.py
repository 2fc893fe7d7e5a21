"""The process that looks after all else."""

from __future__ import annotations

import threading
import time

from sqlalchemy import select

from secondread.service.store.jobs import now
from secondread.service.store.tables import Alarm, Job, Study, Worker
from secondread.service.watching.condition import look_after
from secondread.service.watching.keeper import Duty, look_round, run_keeper


class Turns:
    """A stop that is set after so many waits."""

    def __init__(self, turns: int) -> None:
        self.left = turns

    def is_set(self) -> bool:
        return self.left <= 0

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        return self.is_set()


def open_alarms(database) -> list[str]:
    with database.read() as session:
        return [
            f"{one.kind}: {one.about}" for one in session.scalars(select(Alarm).where(Alarm.closed.is_(None)))
        ]


def test_a_duty_that_fails_does_not_stop_the_others_and_is_told(database) -> None:
    done: list[str] = []
    broken = [True]

    def fails() -> None:
        if broken[0]:
            raise ValueError("Zwiebelfisch")

    todo = [Duty("break", 0.0, fails), Duty("work", 0.0, lambda: done.append("work"))]
    look_round(database, todo, Turns(3))
    assert done == ["work"] * 3
    assert open_alarms(database) == ["keeper: break"]
    broken[0] = False
    look_round(database, todo, Turns(1))
    assert open_alarms(database) == []


def test_it_completes_quiet_studies_beats_and_ends_soon(settings, database, fill) -> None:
    with database.write() as session:
        session.add(
            Study(
                study_uid="2.25.9", state="receiving", revision=1, first_received=now(), last_received=now()
            )
        )
    stop = threading.Event()
    keeper = threading.Thread(target=run_keeper, args=(settings, stop))
    keeper.start()
    try:
        deadline = time.monotonic() + 60
        jobs, roles = [], []
        while time.monotonic() < deadline and not (jobs and roles):
            with database.read() as session:
                jobs = list(session.scalars(select(Job.key).where(Job.kind == "score")))
                roles = list(session.scalars(select(Worker.role)))
            time.sleep(0.02)
        assert jobs == ["1:1"]
        assert roles == ["keeper"]
    finally:
        stop.set()
        keeper.join(timeout=30)
    assert not keeper.is_alive()


def test_what_is_wrong_is_an_alarm_until_it_is_over(settings, database) -> None:
    full = settings.model_copy(update={"receive": settings.receive.model_copy(update={"free_gb": 1e6})})
    assert look_after(database, full) == 1
    assert look_after(database, full) == 0
    assert open_alarms(database) == ["disk: spool"]
    assert look_after(database, settings) == 0
    assert open_alarms(database) == []
    with database.write() as session:
        session.add(Study(study_uid="2.25.8", state="set aside", first_received=now(), last_received=now()))
    assert look_after(database, settings) == 1
    assert open_alarms(database) == ["set aside: studies"]
