"""The rows of instances that arrived: once each, with their study, in one transaction.

A new image gives its study a new revision and opens it again, whatever became of it before. What is no image
to be scored changes neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from secondread.service.intake.header import Told
from secondread.service.spool.files import Kept
from secondread.service.store.jobs import now
from secondread.service.store.tables import Instance, Result, Study

OTHER_PATIENT = "other_patient"
"""The fact of an instance whose header names another patient than its study's first one: who that is."""
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
    held = _held(session, [one.told.sop_instance_uid for one in arrivals])
    own = _own(session, [one.told.sop_instance_uid for one in arrivals if one.told.use == "result"])
    studies = _studies(session, arrivals)
    at, recorded = now(), list[Recorded]()
    new: list[dict[str, Any]] = []
    for one in arrivals:
        uid = one.told.sop_instance_uid
        known = held.get(uid)
        if uid in own:
            recorded.append(Recorded("own"))
        elif known is not None and (known.id is None or is_there(known.path)):
            recorded.append(Recorded("again" if known.digest == one.kept.digest else "other", known.path))
        else:
            study = studies[one.told.study_uid]
            mixed = _is_of_another(one.told, study)
            _grow(study, one.told, at, named=not mixed)
            row = _row(one, study, at)
            if mixed:
                row["facts"] = {**row["facts"], OTHER_PATIENT: one.told.study["patient_id"]}
            if known is None:
                study["instances"] += 1
                new.append(row)
            else:
                session.execute(
                    update(Instance)
                    .where(Instance.id == known.id)
                    .values({name: value for name, value in row.items() if name != "study_uid"})
                )
            held[uid] = _Held(None, one.kept.path, one.kept.digest)
            recorded.append(Recorded("new"))
    _write(session, [study for study in studies.values() if "last_received" in study])
    if new:
        for row in new:
            row["study_id"] = studies[row.pop("study_uid")]["id"]
        session.execute(insert(Instance), new)
    return recorded


class _Held(NamedTuple):
    """An instance that is here; without an id it came in the same transaction."""

    id: int | None
    path: str
    digest: str


def _held(session: Session, uids: list[str]) -> dict[str, _Held]:
    columns = (Instance.sop_instance_uid, Instance.id, Instance.path, Instance.digest)
    found = session.execute(select(*columns).where(Instance.sop_instance_uid.in_(uids)))
    return {row.sop_instance_uid: _Held(row.id, row.path, row.digest) for row in found}


def _own(session: Session, uids: list[str]) -> frozenset[str]:
    if not uids:
        return frozenset()
    return frozenset(
        session.scalars(select(Result.sop_instance_uid).where(Result.sop_instance_uid.in_(uids)))
    )


def _studies(session: Session, arrivals: Sequence[Arrival]) -> dict[str, dict[str, Any]]:
    """The studies' columns, locked; those that are not here yet have no `id`."""
    told = {one.told.study_uid: one.told for one in arrivals}
    columns = (Study.id, Study.study_uid, Study.state, Study.reason, Study.revision, Study.instances)
    columns += tuple(getattr(Study, name) for name in next(iter(told.values())).study)
    found = session.execute(
        select(*columns).where(Study.study_uid.in_(told)).order_by(Study.study_uid).with_for_update()
    )
    studies = {row.study_uid: dict(row._mapping) for row in found}
    for uid, one in told.items():
        if uid not in studies:
            empty = dict.fromkeys(one.study, "")
            studies[uid] = {
                "study_uid": uid, "state": "receiving", "reason": "", "revision": 0, "instances": 0, **empty
            }  # fmt: skip
    return studies


def _is_of_another(told: Told, study: dict[str, Any]) -> bool:
    """Whether the instance names another patient than the first one of its study that names any."""
    patient = told.study.get("patient_id", "")
    return bool(patient and study.get("patient_id")) and patient != study["patient_id"]


def _grow(study: dict[str, Any], told: Told, at: datetime, *, named: bool) -> None:
    """`named`: what the study's row lacks of the patient may be this instance's."""
    study["last_received"] = at
    if study["state"] == "erased":  # and sent again: as a new one
        study["state"], study["first_received"] = "receiving", at
    for name, said in told.study.items() if named else ():
        study[name] = study[name] or said
    if told.use == "image":
        if not study["revision"]:
            study["modality"] = told.study["modality"] or study["modality"]
        study["revision"] += 1
        study["state"], study["reason"] = "receiving", ""


def _write(session: Session, studies: list[dict[str, Any]]) -> None:
    """One statement for those that are new, which get their ids, and one for the others."""
    known = [study for study in studies if "id" in study]
    if known:
        session.execute(update(Study), known)
    if new := [study for study in studies if "id" not in study]:
        rows = [{"first_received": study["last_received"], **study} for study in new]
        made = session.execute(insert(Study).returning(Study.id, sort_by_parameter_order=True), rows)
        for study, row in zip(new, made, strict=True):
            study["id"] = row.id


def _row(one: Arrival, study: dict[str, Any], at: datetime) -> dict[str, Any]:
    return {
        "study_uid": one.told.study_uid,
        "sop_instance_uid": one.told.sop_instance_uid,
        "sop_class_uid": one.told.sop_class_uid,
        "series_uid": one.told.series_uid,
        "path": one.kept.path,
        "size": one.kept.size,
        "digest": one.kept.digest,
        "revision": study["revision"],
        "sender": one.sender,
        "received": at,
        "facts": one.told.facts,
    }
