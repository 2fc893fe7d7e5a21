"""Whether there is room for more: what is refused now may be sent again later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import func, select

from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database
from secondread.service.store.tables import Job, Study

LOOKED_FOR_S = 1.0
GIGABYTE = 10**9


class Room:
    """Free disk and a queue that is not full, looked at once a second at most."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        settings: ServiceSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._spool, self._settings, self._clock = database, spool, settings.receive, clock
        self._lock = threading.Lock()
        self._free: tuple[float, int] = (-LOOKED_FOR_S, 0)
        self._waiting: tuple[float, int] = (-LOOKED_FOR_S, 0)

    def refusal(self, study_uid: str, size: int = 0) -> str:
        """Why an instance of so many bytes cannot be taken now; empty where it can. Raises what the database
        raises."""
        if self.free_bytes() - size < self._settings.free_gb * GIGABYTE:
            return "the disk is full"
        if self._settings.queue and self._in_queue() >= self._settings.queue and not self._known(study_uid):
            return "the queue is full"
        return ""

    def free_bytes(self) -> int:
        with self._lock:
            if self._clock() - self._free[0] >= LOOKED_FOR_S:
                self._free = (self._clock(), self._spool.free_bytes())
            return self._free[1]

    def _in_queue(self) -> int:
        with self._lock:
            if self._clock() - self._waiting[0] >= LOOKED_FOR_S:
                with self._database.read() as session:
                    count = session.scalar(
                        select(func.count()).where(Job.kind == "score", Job.state == "waiting")
                    )
                self._waiting = (self._clock(), count or 0)
            return self._waiting[1]

    def _known(self, study_uid: str) -> bool:
        """A study that is coming in already is let in whole."""
        with self._database.read() as session:
            state = session.scalar(select(Study.state).where(Study.study_uid == study_uid))
        return state == "receiving"
