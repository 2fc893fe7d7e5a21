"""The queue: jobs are taken by workers, done once, tried again, and at last set aside.

A worker takes a job in one transaction (`FOR UPDATE SKIP LOCKED` in PostgreSQL, the one writer in SQLite),
works, and ends it in the transaction that holds its effects: where its claim was given to another meanwhile,
both are undone. So a worker that is killed at any moment leaves a job that is taken again, and nothing half
done or done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from secondread.service.store.database import Database
from secondread.service.store.tables import Job

LONGEST_DELAY = timedelta(hours=6)
"""Between two tries. A job that should wait longer was written before the clock was set back, and is
taken."""


class LostClaim(Exception):
    """The job was given to another worker: what was done for it must not stand."""


@dataclass(frozen=True)
class Claim:
    """A job that this worker has taken. `tries` counts this one."""

    id: int
    kind: str
    key: str
    study_id: int | None
    worker: str
    tries: int
    payload: dict[str, Any] = field(default_factory=dict)


def now() -> datetime:
    return datetime.now(UTC)


def enqueue(
    session: Session,
    kind: str,
    key: str,
    *,
    study_id: int | None = None,
    payload: dict[str, Any] | None = None,
    urgent: int = 0,
    not_before: datetime | None = None,
) -> bool:
    """Write a job down, once: False where one of this kind and key is there already."""
    at = now()
    row = {
        "kind": kind, "key": key, "study_id": study_id, "payload": payload or {}, "urgent": urgent,
        "not_before": not_before or at, "created": at, "state": "waiting", "tries": 0, "reason": "",
    }  # fmt: skip
    dialect = session.get_bind().dialect.name
    statement: Any = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(Job).values(row)
    done = session.execute(statement.on_conflict_do_nothing(index_elements=["kind", "key"]).returning(Job.id))
    return done.first() is not None


def claim(database: Database, kinds: Sequence[str], worker: str, *only: ColumnElement[bool]) -> Claim | None:
    """Take the most urgent job that waits, the oldest first; None where there is none. `only`: of jobs for
    which all this is true."""
    at = now()
    with database.write() as session:
        job = session.scalars(
            select(Job)
            .where(Job.state == "waiting", Job.kind.in_(kinds), *only)
            .where(or_(Job.not_before <= at, Job.not_before > at + LONGEST_DELAY))
            .order_by(Job.urgent.desc(), Job.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).first()
        if job is None:
            return None
        job.state, job.worker, job.tries = "running", worker, job.tries + 1
        return Claim(job.id, job.kind, job.key, job.study_id, worker, job.tries, dict(job.payload))


def finish(session: Session, claimed: Claim) -> None:
    """In the transaction of its effects. Raises LostClaim where it is another's now."""
    _end(session, claimed, state="done", reason="", ended=now())


def try_again(session: Session, claimed: Claim, reason: str, delay: timedelta) -> None:
    later = now() + min(delay, LONGEST_DELAY)
    _end(session, claimed, state="waiting", reason=reason, worker=None, not_before=later)


def set_aside(session: Session, claimed: Claim, reason: str) -> None:
    _end(session, claimed, state="set aside", reason=reason, ended=now())


def give_back(session: Session, claimed: Claim) -> None:
    """Untouched, as before it was taken: at a graceful stop."""
    _end(session, claimed, state="waiting", worker=None, tries=claimed.tries - 1)


def release(session: Session, worker: str) -> int:
    """Give the jobs of a worker that is no more to the others; how many."""
    statement = update(Job).where(Job.state == "running", Job.worker == worker)
    return len(session.execute(statement.values(state="waiting", worker=None).returning(Job.id)).all())


def _end(session: Session, claimed: Claim, **values: Any) -> None:
    mine = update(Job).where(
        Job.id == claimed.id, Job.state == "running", Job.worker == claimed.worker, Job.tries == claimed.tries
    )
    if session.execute(mine.values(**values).returning(Job.id)).first() is None:
        raise LostClaim(f"job {claimed.id} was given to another worker")
