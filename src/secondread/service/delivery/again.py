"""Sending again by hand: jobs go back to where they wait, as if they were new."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.errors import DataError, UserError
from secondread.service.delivery.lane import DONE, KINDS, for_destination
from secondread.service.settings.sending import SendingSettings
from secondread.service.store.audit import record
from secondread.service.store.database import Database
from secondread.service.store.jobs import enqueue, now
from secondread.service.store.orders import SEND, TELL, key_of
from secondread.service.store.tables import Job, Reading, Study


@dataclass(frozen=True)
class Sent:
    """How a delivery stands. `state` as `Job` has it."""

    destination: str
    state: str
    reason: str


def send_study_again(
    database: Database, sending: SendingSettings, study: str, destination: str, person: str
) -> list[int]:
    """Let the newest shown reading of a study go to one destination, or to all; the ids of the jobs.

    study        its Study Instance UID, accession number, or number in the worklist
    destination  empty = all
    person       who asks, for the audit

    Raises UserError where nothing is configured so, DataError where no such study was read.
    """
    names = _checked(sending, destination)
    with database.write() as session:
        found, reading = _newest(session, study)
        record(session, person, "sent again", study_uid=found.study_uid, detail=", ".join(names))
        return [_again(session, sending, reading, name) for name in names]


def send_set_aside_again(
    database: Database, sending: SendingSettings, destination: str, person: str
) -> list[int]:
    """Let everything that was set aside on its way to one destination, or to all, go again."""
    names = _checked(sending, destination)
    wanted = select(Job).where(Job.state == "set aside", Job.kind.in_(KINDS)).with_for_update()
    if destination:
        wanted = wanted.where(for_destination(destination))
    with database.write() as session:
        jobs = session.scalars(wanted.order_by(Job.id)).all()
        for job in jobs:
            _as_new(job)
        detail = f"{len(jobs)} set aside, to {', '.join(names)}"
        record(session, person, "sent again", detail=detail)
        return [job.id for job in jobs]


def how_they_stand(database: Database, jobs: list[int]) -> list[Sent]:
    with database.read() as session:
        rows = session.scalars(select(Job).where(Job.id.in_(jobs)).order_by(Job.id))
        return [Sent(row.key.partition(":")[2], row.state, row.reason) for row in rows]


def _checked(sending: SendingSettings, destination: str) -> list[str]:
    """The names that are meant."""
    if not sending.names:
        raise UserError("the configuration names no destination; name one under `send`")
    if destination and destination not in sending.names:
        raise UserError(f"--to {destination}: no such destination; there are {', '.join(sending.names)}")
    return [destination] if destination else sending.names


def _newest(session: Session, study: str) -> tuple[Study, Reading]:
    told = [Study.study_uid == study, Study.accession == study]
    if study.isascii() and study.isdecimal() and len(study) < 16:
        told.append(Study.id == int(study))
    for one in told:
        found = session.scalars(select(Study).where(one)).all()
        if len(found) > 1:
            raise UserError(f"{len(found)} studies have this accession number; give the Study Instance UID")
        if found:
            break
    else:
        raise DataError("no such study is here; give its Study Instance UID, accession number or number")
    newest = (
        select(Reading)
        .where(Reading.study_id == found[0].id, Reading.shadow.is_(False))
        .order_by(Reading.revision.desc(), Reading.id.desc())
        .limit(1)
    )
    reading = session.scalar(newest)
    if reading is None:
        raise DataError(f"study {found[0].id} has no reading (it is {found[0].state}); nothing to send")
    return found[0], reading


def _again(session: Session, sending: SendingSettings, reading: Reading, name: str) -> int:
    archives = {one.name for one in sending.dicom} | {one.name for one in sending.web}
    kind, key = SEND if name in archives else TELL, key_of(reading.id, name)
    enqueue(session, kind, key, study_id=reading.study_id, payload={"destination": name}, urgent=1)
    job = session.scalars(select(Job).where(Job.kind == kind, Job.key == key).with_for_update()).one()
    if job.state != "running":
        _as_new(job)
    return job.id


def _as_new(job: Job) -> None:
    """Nothing of it has arrived, it has not been tried, and it waits since now."""
    job.state, job.tries, job.reason, job.worker, job.ended = "waiting", 0, "", None, None
    job.created = job.not_before = now()
    job.payload = {name: value for name, value in job.payload.items() if name != DONE}
