"""A study that was not read, or was set aside, is read once more."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from secondread.service.page.worklist.asked import STATES
from secondread.service.store.jobs import enqueue, now
from secondread.service.store.tables import Job, Study


def try_again(session: Session, study_id: int) -> str | None:
    """Its job waits again, as if it had never been tried; the study's UID. None where there is no such
    study, or it is in no need of it. In a transaction of `Database.write`."""
    wanted = select(Study).where(Study.id == study_id, Study.state.in_(STATES["trouble"]))
    study = session.scalars(wanted.with_for_update()).one_or_none()
    if study is None:
        return None
    key = f"{study.id}:{study.revision}"
    if not enqueue(session, "score", key, study_id=study.id):
        anew = update(Job).where(Job.kind == "score", Job.key == key, Job.state.in_(("done", "set aside")))
        session.execute(
            anew.values(state="waiting", tries=0, worker=None, reason="", ended=None, not_before=now())
        )
    study.state, study.reason = "waiting", ""
    return study.study_uid
