"""Who sees which study: its page and its images, each of which may be asked for by itself."""

from __future__ import annotations

import time
from threading import Lock

from secondread.service.page.access import Visitor
from secondread.service.store.audit import record
from secondread.service.store.database import Database

ONE_VIEW_SECONDS = 300.0
"""So long, whatever a person asks for of a study is one view."""


class Views:
    """What this process has written down lately, so that the slices of a volume are not a row each."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str], float] = {}
        self._lock = Lock()

    def write(self, database: Database, visitor: Visitor, study_uid: str, *, anew: bool = False) -> None:
        """Add `viewed` to the audit, unless it says so already of the last minutes.

        anew  whatever it says: the page of a study is opened
        """
        viewed, at = (visitor.name, study_uid), time.monotonic()
        with self._lock:
            self._at = {one: then for one, then in self._at.items() if at - then < ONE_VIEW_SECONDS}
            if viewed in self._at and not anew:
                return
        with database.write() as session:
            record(session, visitor.name, "viewed", study_uid=study_uid, address=visitor.address)
        with self._lock:
            self._at[viewed] = at
