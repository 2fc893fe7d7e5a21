"""Rows of several associations in one transaction: one wait for the disk serves all that came meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType

from sqlalchemy.exc import IntegrityError

from secondread.service.intake.arrivals import Arrival, Recorded, record
from secondread.service.spool.files import Spool
from secondread.service.store.away import is_away
from secondread.service.store.database import Database

AT_ONCE = 64
WAITS_S = 0.03
"""As long as a busy disk needs to make something durable."""
_TRIES = 5
_Waiting = tuple[Arrival, "Future[Recorded]"]


def commit(database: Database, spool: Spool, arrivals: list[Arrival]) -> list[Recorded]:
    """What became of each; their rows are on the disk. Begun again where another process was quicker with
    the same study or instance. Raises what the database raises."""
    for tried in range(_TRIES):
        try:
            with database.write() as session:
                return record(session, arrivals, spool.has)
        except IntegrityError:
            if tried == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


class GroupCommit:
    """Threads hand in what arrived and wait; one thread commits what has gathered.

    A group waits a moment for those that are known to be on their way (`coming`), and for nobody else.
    """

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database, self._spool = database, spool
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._coming = 0
        self._thread = threading.Thread(target=self._run, name="group commit", daemon=True)

    def __enter__(self) -> GroupCommit:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Within the block, something may be handed in."""
        with self._lock:
            self._coming += 1
        try:
            yield
        finally:
            with self._lock:
                self._coming -= 1

    def __call__(self, arrival: Arrival) -> Recorded:
        """What became of it. Raises what the database raises."""
        waited: Future[Recorded] = Future()
        self._queue.put((arrival, waited))
        return waited.result()

    def _run(self) -> None:
        ended = False
        while not ended:
            group = [self._queue.get()]
            until = time.monotonic() + WAITS_S
            while len(group) < AT_ONCE:
                left = until - time.monotonic() if len(group) < self._coming else 0.0
                try:
                    group.append(self._queue.get(left > 0, max(left, 0.0)))
                except queue.Empty:
                    break
            ended = None in group
            self._commit([one for one in group if one is not None])

    def _commit(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            recorded = commit(self._database, self._spool, [arrival for arrival, _ in group])
        except Exception as error:
            if len(group) == 1 or is_away(error):
                for _, waited in group:
                    waited.set_exception(error)
            else:  # one that the database refuses must not be the others' affair
                for one in group:
                    self._commit([one])
            return
        for (_, waited), result in zip(group, recorded, strict=True):
            waited.set_result(result)
