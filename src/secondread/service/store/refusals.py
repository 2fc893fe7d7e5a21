"""How often what was sent was refused, by what was refused and the status that its sender heard: of all
processes and all time."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from secondread.service.store.away import is_away
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Refusal
from secondread.terminal.events import log_event

Name = tuple[str, str]
"""What was refused, and the status."""


def count_refusals(session: Session, counts: Mapping[Name, int]) -> None:
    """Add to the counts that there are."""
    dialect = session.get_bind().dialect.name
    for (what, status), many in counts.items():
        row = {"what": what, "status": status, "count": many, "last": now()}
        statement: Any = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(Refusal).values(
            row
        )
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["what", "status"],
                set_={"count": Refusal.count + many, "last": row["last"]},
            )
        )


class Refusals:
    """Counted by threads that must not wait, and written now and then: a kill loses what was counted
    since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Name] = Counter()

    def add(self, what: str, status: str = "") -> None:
        with self._lock:
            self._counts[what, status] += 1

    def write(self, database: Database) -> None:
        """What is new; where the database does not take it, it is kept for later."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            with database.write() as session:
                count_refusals(session, counts)
        except Exception as error:
            with self._lock:
                self._counts += counts
            if not is_away(error):
                log_event("refusals not counted", level=logging.ERROR, error=type(error).__name__)
