"""What was read becomes rows: readings, results, the study's line and the jobs that follow, in one go."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from secondread.service.reading.read_study import StudyRead
from secondread.service.reading.summary import summarise
from secondread.service.settings.sending import SendingSettings
from secondread.service.spool.files import Spool
from secondread.service.store.jobs import Claim, finish
from secondread.service.store.orders import order_delivery
from secondread.service.store.tables import Reading, Result, Study


class Newer(Exception):
    """The study has got further images, or is no more: another job reads it, or none."""


def study_at(session: Session, study_id: int, revision: int) -> Study:
    """The study, locked, at the revision that a job is for. Raises Newer."""
    study = session.scalars(select(Study).where(Study.id == study_id).with_for_update()).one_or_none()
    if study is None or study.state == "erased" or study.revision != revision:
        raise Newer
    return study


def write_readings(
    session: Session,
    claimed: Claim,
    revision: int,
    readings: Sequence[StudyRead],
    reason: str,
    spool: Spool,
    sending: SendingSettings,
) -> None:
    """In one transaction with the end of the job.

    reason  why some of the study, or with no shown reading all of it, was not read

    A result that an earlier revision's reading has, of an image that is the same, becomes the newer one's.
    Raises Newer and LostClaim.
    """
    assert claimed.study_id is not None
    study = study_at(session, claimed.study_id, revision)
    shown = []
    for read in readings:
        row = _reading(session, study, read, spool)
        if not read.at.shadow:
            shown.append(row)
            _results(session, row, read, spool)
    study.reason = reason
    if shown:
        study.state = "read"
        summarise(session, study.id)
    else:
        study.state = "not read"
        study.bundle, study.score, study.p_value, study.flagged = "", None, None, None
        study.read_at = None
    for row in shown:
        order_delivery(session, sending, row)
    finish(session, claimed)


def _reading(session: Session, study: Study, read: StudyRead, spool: Spool) -> Reading:
    key = {
        "study_id": study.id,
        "revision": study.revision,
        "bundle_digest": read.at.model.digest,
    }
    row = session.scalars(select(Reading).filter_by(**key)).one_or_none() or Reading(**key)
    row.bundle, row.shadow = read.at.name, read.at.shadow
    for name, value in read.columns.items():
        setattr(row, name, value)
    row.folder, row.at, row.seconds = spool.name_of(read.folder), read.made, read.seconds
    session.add(row)
    session.flush()
    return row


def _results(session: Session, row: Reading, read: StudyRead, spool: Spool) -> None:
    uids = [uid for uid, _, _ in read.results]
    session.execute(delete(Result).where(Result.sop_instance_uid.in_(uids)))
    session.execute(delete(Result).where(Result.reading_id == row.id))
    for uid, sop_class, path in read.results:
        session.add(
            Result(reading_id=row.id, sop_instance_uid=uid, sop_class_uid=sop_class, path=spool.name_of(path))
        )
    session.flush()
