"""The process that looks after all else: says when studies are complete, gives the work of dead workers to
others, watches drift and what is wrong, and writes the monthly report.

Each duty has its own period. One that fails is told and does not stop the others; where the database is away
all of them wait for their next turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secondread.service.intake.complete import QuietClock, complete_quiet_studies
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.alarms import close_alarm, open_alarm
from secondread.service.store.away import Stop, Stopped, is_away, patiently
from secondread.service.store.database import Database
from secondread.service.store.migrate import check_version
from secondread.service.store.workers import Registered, Watch
from secondread.service.watching.condition import look_after
from secondread.service.watching.months_due import write_months
from secondread.service.watching.streams import Streams
from secondread.terminal.events import log_event

FAILED = "keeper"
"""Kind of the alarm of a duty that fails."""
LOOK_S, DRIFT_S, MONTH_S, LONGEST_TURN_S = 30.0, 20.0, 600.0, 1.0


@dataclass
class Duty:
    """Something to be done every `period_s` seconds. `due` is when, by a clock that nobody sets back;
    `failing` until it was done once, so that the alarm of an earlier keeper is closed."""

    name: str
    period_s: float
    do: Callable[[], object]
    due: float = 0.0
    failing: bool = True


def run_keeper(settings: ServiceSettings, stop: Stop, *, more: Sequence[Duty] = ()) -> None:
    """Look after the service until `stop` is set. `more`: duties of rooms above."""
    database = Database(settings.database_url)
    try:
        patiently(lambda: check_version(database), stop)
        with Registered(database, "keeper", stop):
            look_round(database, [*duties(database, settings), *more], stop)
    except Stopped:
        pass
    finally:
        database.close()


def duties(database: Database, settings: ServiceSettings) -> list[Duty]:
    """Those of this room."""
    quiet, dead = QuietClock(), Watch()
    found = [
        Duty(
            "complete studies",
            min(LONGEST_TURN_S, max(settings.complete.quiet_s / 4, 0.05)),
            lambda: complete_quiet_studies(database, settings, quiet),
        ),
        Duty("release dead workers", 5.0, lambda: dead.release_dead(database)),
        Duty("look after the service", LOOK_S, lambda: look_after(database, settings)),
    ]
    if settings.watch.drift:
        streams = Streams(settings)
        found.append(Duty("watch drift", DRIFT_S, lambda: streams.go_on(database)))
    if settings.watch.monthly_report:
        found.append(Duty("write the monthly report", MONTH_S, lambda: write_months(database, settings)))
    return found


def look_round(
    database: Database, todo: Sequence[Duty], stop: Stop, clock: Callable[[], float] = time.monotonic
) -> None:
    """Do what is due, again and again, until `stop` is set."""
    while not stop.is_set():
        for duty in todo:
            if stop.is_set():
                return
            if clock() >= duty.due:
                _do(database, duty)
                duty.due = clock() + duty.period_s
        stop.wait(max(0.01, min([duty.due for duty in todo], default=clock() + LONGEST_TURN_S) - clock()))


def _do(database: Database, duty: Duty) -> None:
    try:
        duty.do()
    except Exception as error:
        kind = type(error).__name__
        if is_away(error):
            log_event("keeper waits for the database", level=logging.WARNING, duty=duty.name, error=kind)
            return
        log_event("duty failed", level=logging.ERROR, duty=duty.name, error=kind)
        duty.failing = True
        _tell(database, duty, failed=True)
    else:
        if duty.failing:
            duty.failing = not _tell(database, duty, failed=False)


def _tell(database: Database, duty: Duty, *, failed: bool) -> bool:
    """Open or close the duty's alarm, which is what metrics show of it; whether it could be written."""
    try:
        with database.write() as session:
            if failed:
                text = f"the keeper could not {duty.name}"
                open_alarm(session, FAILED, duty.name, text, "the service's log names the error's kind")
            else:
                close_alarm(session, FAILED, duty.name)
    except Exception as error:
        log_event("alarm not written", level=logging.ERROR, error=type(error).__name__)
        return False
    return True
