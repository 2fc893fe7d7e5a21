"""Who works, and whose jobs are given to others because he is no more.

A worker's row carries a count that grows while it lives. Whoever looks (`Watch`) measures by a clock of his
own, which nobody sets back, how long a count has stood still.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from secondread.service.store.away import Stop, is_away, patiently
from secondread.service.store.database import Database
from secondread.service.store.jobs import now, release
from secondread.service.store.tables import Job, Worker
from secondread.terminal.events import log_event

BEAT_S = 5.0
DEAD_AFTER_S = 60.0
"""Much longer than a beat: a machine that swaps is slow, not dead. Where a worker comes back after all, its
claims are lost, and what it did for them is undone."""


class Registered:
    """A row in `worker` for the block, whose `id` claims jobs; it beats from a thread of its own.

    At the end its jobs are released and the row is gone. Where the row vanished meanwhile (somebody thought
    that this worker was dead), it is written again: jobs that it had are lost to it, new ones it may take.

    stop  whoever takes jobs begins when the database is there, and raises Stopped where `stop` is set before;
          without it the block begins at once, and the row is written when the database is back
    """

    def __init__(
        self, database: Database, role: str, stop: Stop | None = None, *, beat_s: float = BEAT_S
    ) -> None:
        self.id = f"{multiprocessing.current_process().name[:48]}.{secrets.token_hex(6)}"
        self.role = role
        self._database, self._beat_s, self._stop = database, beat_s, stop
        self._written = False
        self._started = now()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"beat of {self.id}", daemon=True)

    def __enter__(self) -> Registered:
        if self._stop is not None:
            patiently(self._write, self._stop)
        else:
            try:
                self._write()
            except Exception as error:
                if not is_away(error):
                    raise
                log_event("database away", level=logging.WARNING, error=type(error).__name__)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        try:
            with self._database.write() as session:
                bury(session, self.id)
        except Exception as failure:
            if not is_away(failure):
                raise
            # whoever sees the row stand still does it

    def _write(self) -> None:
        with self._database.write() as session:
            session.add(
                Worker(
                    id=self.id, host=host(), pid=os.getpid(), role=self.role, beat=0, started=self._started
                )
            )
        self._written = True

    def _beat(self) -> None:
        while not self._end.wait(self._beat_s):
            try:
                with self._database.write() as session:
                    mine = update(Worker).where(Worker.id == self.id).values(beat=Worker.beat + 1)
                    there = session.execute(mine.returning(Worker.id)).first() is not None
                if not there:
                    if self._written:
                        log_event("worker taken for dead", level=logging.WARNING, role=self.role)
                    self._write()
            except Exception as error:
                if not is_away(error):
                    log_event("beat failed", level=logging.ERROR, error=type(error).__name__)


class Watch:
    """Sees by its own clock which workers have stood still."""

    def __init__(
        self, *, dead_after_s: float = DEAD_AFTER_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.dead_after_s, self._clock = dead_after_s, clock
        self._seen: dict[str, tuple[int, float]] = {}

    def release_dead(self, database: Database) -> int:
        """Give the jobs of workers that are dead to others; how many. Call it often.

        A look that fails forgets what was seen: nobody could beat while the database was away.
        """
        try:
            with database.read() as session:
                beats = {row.id: row.beat for row in session.scalars(select(Worker))}
        except BaseException:
            self._seen.clear()
            raise
        at = self._clock()
        before, self._seen = self._seen, {}
        for worker, beat in beats.items():
            known = before.get(worker)
            self._seen[worker] = known if known is not None and known[0] == beat else (beat, at)
        dead = [worker for worker, (_, since) in self._seen.items() if at - since >= self.dead_after_s]
        for worker in dead:
            with database.write() as session:
                still = select(Worker.beat).where(Worker.id == worker).with_for_update()
                if session.scalar(still) == self._seen[worker][0]:
                    bury(session, worker)
                    log_event("worker dead", level=logging.WARNING)
            self._seen.pop(worker)
        return len(dead) + _release_unheld(database)


def _release_unheld(database: Database) -> int:
    """Jobs of workers that have no row: somebody took the worker for dead, and it died after it had claimed
    another one."""
    alone = Job.worker.not_in(select(Worker.id))
    with database.read() as session:
        workers = set(session.scalars(select(Job.worker).where(Job.state == "running", alone)))
    with database.write() as session:
        for worker in workers:
            if worker is not None and session.get(Worker, worker) is None:
                release(session, worker)
    return len(workers)


def release_process(database: Database, name: str) -> int:
    """Give the jobs of a process that was seen to end (`name` is its own in `multiprocessing`) to others;
    how many of its workers were still there."""
    with database.write() as session:
        mine = select(Worker.id).where(Worker.id.startswith(f"{name[:48]}.", autoescape=True))
        dead = session.scalars(mine).all()
        for worker in dead:
            bury(session, worker)
    return len(dead)


def release_gone(database: Database) -> int:
    """Give the jobs of workers of this machine whose process is not there any more to others; how many
    workers. For whoever starts a service and holds its spool: in SQLite every worker is one of the last
    run's."""
    gone = 0
    with database.write() as session:
        for worker in session.scalars(select(Worker)).all():
            if database.is_sqlite or (worker.host == host() and not _runs(worker.pid)):
                bury(session, worker.id)
                gone += 1
    return gone


def bury(session: Session, worker: str) -> None:
    release(session, worker)
    session.execute(delete(Worker).where(Worker.id == worker))


def host() -> str:
    return socket.gethostname()


def _runs(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        try:
            os.kill(pid, 0)
        except PermissionError:
            return True
        return True
    return False
