"""When a study is complete: nothing came for a while, or its sender asked for storage commitment of it.

The while is measured by a clock of the observer that nobody sets back, from the moment at which he saw the
study's last change; what the database says of times is not asked. An observer that starts anew waits once
more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from secondread.service.settings.service import ServiceSettings
from secondread.service.store.database import Database
from secondread.service.store.jobs import enqueue
from secondread.service.store.tables import Instance, Study

BACKFILL = "backfill "
"""What the sender of an instance begins with that was asked for, rather than sent by itself."""
LATER = -1
"""Urgency of studies that were asked for: live ones come first."""
_Seen = tuple[int, int]


@dataclass
class QuietClock:
    """What an observer has seen of studies that are coming in, and when, by its own clock."""

    clock: Callable[[], float] = time.monotonic
    seen: dict[int, tuple[_Seen, float]] = field(default_factory=dict)


def complete_quiet_studies(database: Database, settings: ServiceSettings, clock_state: QuietClock) -> int:
    """Ask for a reading of each study of which nothing came for `quiet_s` seconds; how many. To be called
    often, with the same `clock_state`. Raises what the database raises."""
    receiving = select(Study.id, Study.revision, Study.instances).where(Study.state == "receiving")
    with database.read() as session:
        found = [(row.id, (row.revision, row.instances)) for row in session.execute(receiving)]
    at = clock_state.clock()
    before, clock_state.seen = clock_state.seen, {}
    quiet: list[tuple[int, int]] = []
    for study, state in found:
        known = before.get(study)
        since = known[1] if known is not None and known[0] == state else at
        clock_state.seen[study] = (state, since)
        if at - since >= settings.complete.quiet_s:
            quiet.append((study, state[0]))
    done = 0
    for study, revision in quiet:
        with database.write() as session:
            done += complete(session, study, revision)
        clock_state.seen.pop(study, None)
    return done


def complete(session: Session, study: int, revision: int) -> bool:
    """Ask for a reading of a study, unless another image came since this revision. A study without any image
    is not read."""
    state = "waiting" if revision else "not read"
    mine = update(Study).where(Study.id == study, Study.state == "receiving", Study.revision == revision)
    reason = "" if revision else "it holds no image"
    if session.execute(mine.values(state=state, reason=reason).returning(Study.id)).first() is None:
        return False
    if revision:
        urgent = LATER if _was_asked_for(session, study) else 0
        enqueue(session, "score", f"{study}:{revision}", study_id=study, urgent=urgent)
    return True


def complete_committed(session: Session, instances: Collection[str]) -> int:
    """Ask for a reading of the studies of which commitment of every instance that is here was asked for; how
    many."""
    named = set(
        session.scalars(select(Instance.study_id).where(Instance.sop_instance_uid.in_(instances)).distinct())
    )
    done = 0
    for study in session.scalars(
        select(Study).where(Study.id.in_(named), Study.state == "receiving").order_by(Study.study_uid)
    ).all():
        held = session.scalars(select(Instance.sop_instance_uid).where(Instance.study_id == study.id))
        done += set(held) <= set(instances) and complete(session, study.id, study.revision)
    return done


def _was_asked_for(session: Session, study: int) -> bool:
    """Whether all of it came by backfill."""
    live = select(func.count()).where(Instance.study_id == study, Instance.sender.not_like(f"{BACKFILL}%"))
    return not session.scalar(live)
