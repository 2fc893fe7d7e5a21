"""What is old goes, study by study, each in a transaction with its row in the audit.

First the pixels, of studies that were read and whose results are where they had to go; later the studies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from pydicom.uid import SecondaryCaptureImageStorage
from sqlalchemy import ColumnElement, and_, delete, exists, func, select
from sqlalchemy.orm import Session

from secondread.service.settings.upkeep import UpkeepSettings
from secondread.service.spool.files import Spool
from secondread.service.store import audit
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Instance, Job, Reading, Result, Study
from secondread.terminal.events import log_event

BY = "[upkeep]"
PICTURE = str(SecondaryCaptureImageStorage)
"""Of the results, the one that shows the image."""
TURN_S = 2.0
"""Then the keeper's other duties come first."""
IDLE_S = 3600.0
"""After a turn that found nothing more."""
STEP = 50


class Retention:
    """Call `go_on` often, in the keeper: it does a little each time."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        settings: UpkeepSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.database, self.spool, self.settings = database, spool, settings
        self._clock = clock
        self._rest_until = clock()

    def go_on(self, at: datetime | None = None) -> tuple[int, int]:
        """How many studies lost their pixels, and how many were removed, in this turn."""
        if self._clock() < self._rest_until:
            return 0, 0
        at = at or now()
        until = self._clock() + TURN_S
        images, whole = self.settings.images_days, self.settings.readings_days
        pixels = studies = 0
        if whole is not None:
            studies = self._each(_old(at, whole), self._remove_study, until)
        if images is not None:
            pixels = self._each(_read_and_delivered(at, images), self._remove_pixels, until)
        if self._clock() < until:
            self._rest_until = self._clock() + IDLE_S
        if pixels or studies:
            log_event("old studies removed", pixels=pixels, studies=studies)
        return pixels, studies

    def _each(
        self, which: ColumnElement[bool], remove: Callable[[Session, Study], list[str]], until: float
    ) -> int:
        done = last = 0
        while self._clock() < until:
            with self.database.read() as session:
                found = session.scalars(
                    select(Study.id).where(which, Study.id > last).order_by(Study.id).limit(STEP)
                ).all()
            for study in found:
                done += self._one(study, which, remove)
                if self._clock() >= until:
                    break
            if len(found) < STEP:
                break
            last = found[-1]
        return done

    def _one(
        self, study: int, which: ColumnElement[bool], remove: Callable[[Session, Study], list[str]]
    ) -> bool:
        """It is asked again under the study's lock: an instance may have come meanwhile."""
        with self.database.write() as session:
            row = session.scalars(select(Study).where(Study.id == study).with_for_update()).one_or_none()
            if row is None or session.scalar(select(Study.id).where(Study.id == study, which)) is None:
                return False
            files = remove(session, row)
        for path in files:
            self.spool.remove(path)
        return True

    def _remove_pixels(self, session: Session, study: Study) -> list[str]:
        """Files go before their rows say so, so that a kill in between leaves none behind; the rows stay, and
        an instance that is sent again is taken in anew."""
        rows = session.scalars(select(Instance).where(Instance.study_id == study.id, Instance.size > 0)).all()
        pictures = (
            select(Result.path)
            .join(Reading)
            .where(Reading.study_id == study.id, Result.sop_class_uid == PICTURE)
        )
        for path in [*(row.path for row in rows), *session.scalars(pictures)]:
            self.spool.remove(path)
        for row in rows:
            row.size = 0
        audit.record(
            session, BY, "pixels removed", study_uid=study.study_uid, detail=f"{len(rows)} instances"
        )
        return []

    def _remove_study(self, session: Session, study: Study) -> list[str]:
        """Rows go before files: what a kill leaves of these has no row, and is swept."""
        files = files_of(session, [study.id])
        audit.record(session, BY, "study removed", study_uid=study.study_uid)
        session.execute(delete(Study).where(Study.id == study.id))
        return files


def files_of(session: Session, studies: list[int]) -> list[str]:
    """Files of instances and folders of readings, as rows name them."""
    instances = select(Instance.path).where(Instance.study_id.in_(studies))
    readings = select(Reading.folder).where(Reading.study_id.in_(studies))
    return [path for path in [*session.scalars(instances), *session.scalars(readings)] if path]


def _read_and_delivered(at: datetime, days: float) -> ColumnElement[bool]:
    undone = exists().where(Job.study_id == Study.id, Job.state != "done")
    pixels = exists().where(Instance.study_id == Study.id, Instance.size > 0)
    return and_(Study.state == "read", Study.read_at < at - timedelta(days=days), pixels, ~undone)


def _old(at: datetime, days: float) -> ColumnElement[bool]:
    """Nothing came for so long, and nothing is being done."""
    going_on = exists().where(Job.study_id == Study.id, Job.state.in_(["waiting", "running"]))
    before = at - timedelta(days=days)
    return and_(
        Study.state.in_(["read", "not read", "set aside", "erased"]),
        Study.last_received < before,
        func.coalesce(Study.read_at, Study.last_received) < before,
        ~going_on,
    )
