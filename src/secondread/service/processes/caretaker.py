"""What the parent does in the database, in a thread of its own: a database that is slow or away must not keep
the parent from seeing children die or from ending."""

from __future__ import annotations

import logging
import queue
import threading
import time

from secondread.service.spool.files import Spool
from secondread.service.spool.sweep import sweep
from secondread.service.store.alarms import open_alarm
from secondread.service.store.away import is_away
from secondread.service.store.database import Database
from secondread.service.store.workers import Watch, release_process
from secondread.terminal.events import log_event

LOOK_S, SWEEP_S = 10.0, 6 * 3600.0
SOON_S, SHARE = 5.0, 0.1
"""A death may leave a file that no row will name: the spool is swept so soon after one, and again and again
for at most this share of the time."""
MANY_DEATHS = 5
"""In a row, before somebody should know."""


class Caretaker:
    """Releases the jobs of processes that died, here and on other machines, and sweeps the spool."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database, self._spool = database, spool
        self._dead: queue.SimpleQueue[tuple[str, str, int] | None] = queue.SimpleQueue()
        self._watch = Watch()
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)

    def __enter__(self) -> Caretaker:
        self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._dead.put(None)
        self._thread.join(LOOK_S)

    def died(self, name: str, role: str, deaths: int) -> None:
        self._dead.put((name, role, deaths))

    def _run(self) -> None:
        waiting: list[tuple[str, str, int]] = []
        look = sweep_at = rested = time.monotonic()
        going = True
        while going:
            try:
                found = self._dead.get(timeout=1.0)
                going = found is not None
                if found is not None:
                    waiting.append(found)
                    sweep_at = min(sweep_at, max(time.monotonic() + SOON_S, rested))
            except queue.Empty:
                pass
            try:
                while waiting:
                    self._release(*waiting[0])
                    waiting.pop(0)
                if going and time.monotonic() >= look:
                    self._watch.release_dead(self._database)
                    look = time.monotonic() + LOOK_S
                if going and time.monotonic() >= sweep_at:
                    begun = time.monotonic()
                    removed = sweep(self._spool, self._database)
                    log_event("spool swept", removed=removed)
                    ended = time.monotonic()
                    sweep_at, rested = ended + SWEEP_S, ended + (ended - begun) / SHARE
            except Exception as error:
                if is_away(error):
                    sweep_at = time.monotonic()  # refused instances left their files
                else:
                    log_event("caretaker failed", level=logging.ERROR, error=type(error).__name__)

    def _release(self, name: str, role: str, deaths: int) -> None:
        release_process(self._database, name)
        if deaths >= MANY_DEATHS:
            with self._database.write() as session:
                open_alarm(
                    session, "process dies", role,
                    f"The {role} has died {deaths} times, each time within a minute.",
                    "Look into the service's log for its last event.",
                )  # fmt: skip
