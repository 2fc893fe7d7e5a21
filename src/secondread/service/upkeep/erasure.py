"""Everything of one patient goes at once, and what stays names nobody.

A row of each study stays, `erased`, with its UID alone. The same study sent again is taken in and read as a
new one: whoever sends it has decided so, and a refusal would hold up his queue.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from secondread.errors import UserError
from secondread.service.intake.arrivals import OTHER_PATIENT
from secondread.service.settings.upkeep import UpkeepSettings
from secondread.service.spool.files import Spool
from secondread.service.store import audit
from secondread.service.store.database import Database
from secondread.service.store.tables import Instance, Job, Reading, Result, Study, Verdict
from secondread.service.upkeep.nightly import backups
from secondread.service.upkeep.retention import files_of
from secondread.terminal.events import log_event

WAL_TRIES, WAL_PAUSE_S = 20, 0.1


@dataclass(frozen=True)
class Held:
    """How many rows there are of a patient."""

    studies: int
    instances: int
    readings: int
    results: int
    verdicts: int
    jobs: int

    def __str__(self) -> str:
        words = (
            (self.studies, "study", "studies"), (self.instances, "instance", "instances"),
            (self.readings, "reading", "readings"), (self.results, "result", "results"),
            (self.verdicts, "verdict", "verdicts"), (self.jobs, "job", "jobs"),
        )  # fmt: skip
        return ", ".join(f"{number} {one if number == 1 else more}" for number, one, more in words)


def held_of(session: Session, patient: str) -> Held:
    """Raises UserError where there is no study; it does not repeat the ID."""
    return _count(session, _studies(session, patient))


def erase_patient(database: Database, spool: Spool, patient: str, person: str) -> tuple[Held, bool]:
    """Remove the instances, readings, results, verdicts and jobs of all studies with this Patient ID, and
    what their rows say of the patient; what there was, and whether SQLite's log holds nothing of it either.

    Whoever reads or sends one of them now finds that his job is gone, and what he did is undone. Raises
    UserError where there is no study.
    """
    with database.write() as session:
        if database.is_sqlite:
            session.connection().exec_driver_sql("PRAGMA secure_delete=ON")
        studies = _studies(session, patient)
        held = _count(session, studies)
        files = files_of(session, studies)
        for table in (Verdict, Job, Reading, Instance):  # results go with their readings
            session.execute(delete(table).where(table.study_id.in_(studies)))
        session.execute(
            update(Study)
            .where(Study.id.in_(studies))
            .values(
                state="erased", reason="", instances=0, patient_id="", patient_name="", birth_date="", sex="",
                accession="", study_date="", description="", modality="", bundle="", score=None, p_value=None,
                flagged=None, read_at=None,
            )
        )  # fmt: skip
        audit.record(session, person, "patient erased", detail=str(held))
    for path in files:
        spool.remove(path)
    log_event("patient erased", studies=held.studies, instances=held.instances)
    return held, _empty_log(database)


def _studies(session: Session, patient: str) -> list[int]:
    """Also those with an image of the patient among another's: whoever mixed them up, all of it goes."""
    other = Instance.facts[OTHER_PATIENT].as_string() == patient.strip()
    mixed = select(Instance.study_id).where(other)
    theirs = or_(Study.patient_id == patient.strip(), Study.id.in_(mixed))
    which = select(Study.id).where(theirs, Study.state != "erased")
    found = list(session.scalars(which.with_for_update())) if patient.strip() else []
    if not found:
        raise UserError("no study of this patient is here; give the Patient ID as the worklist shows it")
    return found


def _count(session: Session, studies: list[int]) -> Held:
    def rows(table: type[Instance | Reading | Verdict | Job]) -> int:
        count = select(func.count()).select_from(table).where(table.study_id.in_(studies))
        return session.scalar(count) or 0

    results = select(func.count()).select_from(Result).join(Reading).where(Reading.study_id.in_(studies))
    return Held(
        len(studies), rows(Instance), rows(Reading), session.scalar(results) or 0, rows(Verdict), rows(Job)
    )


def _empty_log(database: Database) -> bool:
    """SQLite keeps former pages in its log until somebody empties it, for which nobody may read."""
    if not database.is_sqlite:
        return True
    for _ in range(WAL_TRIES):
        with database.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            if not driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                return True
        time.sleep(WAL_PAUSE_S)
    return False


@dataclass(frozen=True)
class HeldByBackups:
    """How many nightly backups there are, and when the last of them goes, where the nights go on; None where
    there is none."""

    number: int
    until: datetime | None


def held_by_backups(settings: UpkeepSettings) -> HeldByBackups:
    made = backups(Path(settings.backups)) if settings.backups else {}
    newest = next(iter(made.values()), None)
    return HeldByBackups(len(made), newest + timedelta(days=settings.keep) if newest else None)
