"""The rows of instances that arrived: once each, with their study, in one transaction.

A new image gives its study a new revision and opens it again, whatever became of it before. What is no image
to be scored changes neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.service.intake.header import Told
from secondread.service.spool.files import Kept
from secondread.service.store.jobs import now
from secondread.service.store.tables import Instance, Result, Study

Outcome = Literal["new", "again", "own", "other"]


@dataclass(frozen=True)
class Arrival:
    """An instance whose file lies in the spool, and who sent it."""

    told: Told
    kept: Kept
    sender: str


@dataclass(frozen=True)
class Recorded:
    """What became of it.

    outcome  `new`: it has its row. `again`: the same instance was here. `own`: secondread made it, and has
             it among its results. `other`: another file with its UID is here; `held` is its path
    """

    outcome: Outcome
    held: str = ""


def record(session: Session, arrivals: Sequence[Arrival], is_there: Callable[[str], bool]) -> list[Recorded]:
    """What became of each, in their order. Raises IntegrityError where another process was quicker: begin
    again.

    is_there  whether the spool has the file that a row names: one that was removed since, as retention does,
              is taken in anew
    """
    uids = [one.told.sop_instance_uid for one in arrivals]
    held = {
        row.sop_instance_uid: row
        for row in session.scalars(select(Instance).where(Instance.sop_instance_uid.in_(uids)))
    }
    returned = [one.told.sop_instance_uid for one in arrivals if one.told.use == "result"]
    own = set(
        session.scalars(select(Result.sop_instance_uid).where(Result.sop_instance_uid.in_(returned)))
        if returned
        else ()
    )
    studies = {
        study.study_uid: study
        for study in session.scalars(
            select(Study)
            .where(Study.study_uid.in_({one.told.study_uid for one in arrivals}))
            .order_by(Study.study_uid)
            .with_for_update()
        )
    }
    at, recorded, rows = now(), list[Recorded](), list[tuple[Study, Instance]]()
    for one in arrivals:
        uid = one.told.sop_instance_uid
        row = held.get(uid)
        if uid in own:
            recorded.append(Recorded("own"))
        elif row is not None and (row.id is None or is_there(row.path)):
            recorded.append(Recorded("again" if row.digest == one.kept.digest else "other", row.path))
        else:
            study = studies.get(one.told.study_uid)
            if study is None:
                study = studies[one.told.study_uid] = _new_study(one.told, at)
                session.add(study)
            _grow(study, one.told, at)
            if row is None:
                row = held[uid] = Instance(sop_instance_uid=uid)
                rows.append((study, row))
                study.instances += 1
            _fill(row, one, study.revision, at)
            recorded.append(Recorded("new"))
    session.flush()
    for study, row in rows:
        row.study_id = study.id
    session.add_all(row for _, row in rows)
    return recorded


def _new_study(told: Told, at: datetime) -> Study:
    return Study(
        study_uid=told.study_uid,
        state="receiving",
        revision=0,
        instances=0,
        first_received=at,
        last_received=at,
        **told.study,
    )


def _grow(study: Study, told: Told, at: datetime) -> None:
    study.last_received = at
    for name, said in told.study.items():
        if said and not getattr(study, name):
            setattr(study, name, said)
    if told.use == "image":
        if not study.revision:
            study.modality = told.study["modality"] or study.modality
        study.revision += 1
        study.state, study.reason = "receiving", ""


def _fill(row: Instance, one: Arrival, revision: int, at: datetime) -> None:
    row.sop_class_uid = one.told.sop_class_uid
    row.series_uid = one.told.series_uid
    row.path, row.size, row.digest = one.kept.path, one.kept.size, one.kept.digest
    row.revision, row.sender, row.received = revision, one.sender, at
    row.facts = one.told.facts
