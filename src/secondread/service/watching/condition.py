"""What is wrong now and not of a reading: a disk that fills, work that waits, studies that were set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.alarms import close_alarm, open_alarm
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import Alarm, Job, Study
from secondread.terminal.events import log_event
from secondread.wording.numbers import count

GIGABYTE = 10**9
KINDS = ("disk", "queue", "set aside")


@dataclass(frozen=True)
class Trouble:
    """An alarm that is open for as long as it is found."""

    kind: str
    about: str
    text: str
    remedy: str


def look_after(database: Database, settings: ServiceSettings) -> int:
    """Open an alarm for what is wrong and close those of what is over; how many are new."""
    with database.read() as session:
        found = {(one.kind, one.about): one for one in troubles(session, settings)}
        rows = session.execute(
            select(Alarm.kind, Alarm.about, Alarm.text).where(Alarm.closed.is_(None), Alarm.kind.in_(KINDS))
        ).all()
    known = {(row.kind, row.about): row.text for row in rows}
    changed = [one for key, one in found.items() if known.get(key) != one.text]
    over = known.keys() - found.keys()
    new = 0
    if changed or over:
        with database.write() as session:
            new = sum(open_alarm(session, one.kind, one.about, one.text, one.remedy) for one in changed)
            for kind, about in over:
                close_alarm(session, kind, about)
    if new:
        log_event("alarm", number=new)
    return new


def troubles(session: Session, settings: ServiceSettings) -> Iterator[Trouble]:
    free, needed = Spool(settings.spool).free_bytes() / GIGABYTE, settings.receive.free_gb
    if free < needed:
        yield Trouble(
            "disk", "spool", f"less than {needed:g} GB are free on the spool's disk: studies are refused",
            "free space, or lower `upkeep.images_days`",
        )  # fmt: skip
    elif free < 3 * needed:
        yield Trouble(
            "disk", "spool nearly full", f"less than {3 * needed:g} GB are free on the spool's disk",
            "free space, or lower `upkeep.images_days`, before studies are refused",
        )  # fmt: skip
    patience = timedelta(hours=settings.watch.patience_h)
    long = select(Job.kind).where(Job.state == "waiting", Job.created < now() - patience).distinct()
    for kind in session.scalars(long):
        yield Trouble(
            "queue", kind, f"work of the kind {kind} waits for more than {settings.watch.patience_h:g} hours",
            "see whether scorers run and destinations answer; more scorers: `scorers` in the configuration",
        )  # fmt: skip
    aside = session.scalar(select(func.count()).where(Study.state == "set aside")) or 0
    if aside:
        yield Trouble(
            "set aside", "studies", f"{count(aside, 'study was', 'studies were')} set aside after all tries",
            "their page says why; score them again there once the reason is mended",
        )  # fmt: skip
