"""What stands above the list: how much there is to do, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from secondread.service.page.worklist.asked import STATES
from secondread.service.page.worklist.find import unhelpful
from secondread.service.store.tables import Alarm, Study, Verdict

MOST_ALARMS = 20
MOST_DAYS = 30


@dataclass(frozen=True)
class Counts:
    """`waiting` is what waits now; the others are of studies received within `days`, at most `MOST_DAYS`.
    `unseen`: flagged, and nobody has said anything."""

    days: int
    waiting: int
    read: int
    flagged: int
    unseen: int
    trouble: int
    oldest: datetime | None
    alarms: Sequence[Alarm]


def count(session: Session, since: int, at: datetime) -> Counts:
    """`since` days, 0 = ever, of which the last `MOST_DAYS` are counted."""
    days = min(since or MOST_DAYS, MOST_DAYS)
    recent = Study.last_received >= at - timedelta(days=days)
    state = unhelpful(session, Study.state.expression)
    grouped = session.execute(select(state, func.count()).where(recent).group_by(state))
    states: dict[str, int] = {row[0]: row[1] for row in grouped}
    waits = Study.state.in_(STATES["waiting"])
    waiting, oldest = session.execute(select(func.count(), func.min(Study.first_received)).where(waits)).one()
    flagged = [recent, Study.flagged.is_(True), state == "read"]
    unseen = select(func.count()).select_from(Study).where(*flagged)
    return Counts(
        days=days,
        waiting=waiting,
        read=states.get("read", 0),
        flagged=session.scalar(unseen) or 0,
        unseen=session.scalar(unseen.where(~exists().where(Verdict.study_id == Study.id))) or 0,
        trouble=sum(states.get(state, 0) for state in STATES["trouble"]),
        oldest=oldest,
        alarms=session.scalars(
            select(Alarm).where(Alarm.closed.is_(None)).order_by(Alarm.opened.desc()).limit(MOST_ALARMS)
        ).all(),
    )
