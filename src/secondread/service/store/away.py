"""A database that does not answer: who works for it waits, and goes on when it is back.

A transaction that failed may be begun again, since what has to happen once has its key: so wait outside of
it, around the whole step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from secondread.service.store.database import Database
from secondread.terminal.events import log_event

Done = TypeVar("Done")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


class Stop(Protocol):
    """Tells a process to end: an event of `threading` or `multiprocessing`."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Stopped(Exception):
    """The process was told to end while it waited for its database."""


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, or broke off, rather than refused what was asked.

    A full disk counts: it is mended outside, and then the same step goes through.
    """
    return isinstance(error, OperationalError | InterfaceError | PoolTimeout) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def patiently(step: Callable[[], Done], stop: Stop) -> Done:
    """What `step` gives, begun again while its database is away. Raises Stopped when `stop` is set."""
    pause, waited = FIRST_PAUSE_S, False
    while True:
        try:
            done = step()
        except Exception as error:
            if not is_away(error):
                raise
            if not waited:
                log_event("database away", level=logging.WARNING, error=type(error).__name__)
            waited = True
            if stop.wait(pause):
                raise Stopped from None
            pause = min(2 * pause, LONGEST_PAUSE_S)
        else:
            if waited:
                log_event("database back")
            return done


def answers(database: Database) -> bool:
    """Whether the database can be reached now."""
    try:
        with database.read() as session:
            session.connection().exec_driver_sql("SELECT 1")
    except Exception as error:
        if not is_away(error):
            raise
        return False
    return True
