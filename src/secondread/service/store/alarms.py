"""Alarms: one row for as long as something is wrong, however often it is found."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from secondread.service.store.audit import record
from secondread.service.store.jobs import now
from secondread.service.store.tables import Alarm


def open_alarm(session: Session, kind: str, about: str, text: str, remedy: str = "") -> bool:
    """Tell of something that a person should know, without a patient. Where one of this kind is open about
    the same, it counts on and has the newer text; True where it is new."""
    is_open = Alarm.kind == kind, Alarm.about == about, Alarm.closed.is_(None)
    known = session.scalars(select(Alarm).where(*is_open).with_for_update()).first()
    if known is not None:
        known.count, known.text, known.remedy = known.count + 1, text, remedy
        return False
    session.add(Alarm(kind=kind, about=about, text=text, remedy=remedy, opened=now()))
    return True


def close_alarm(session: Session, kind: str, about: str) -> bool:
    """It is over; whether it was open."""
    is_open = Alarm.kind == kind, Alarm.about == about, Alarm.closed.is_(None)
    closed = session.execute(update(Alarm).where(*is_open).values(closed=now()).returning(Alarm.id)).all()
    return bool(closed)


def dismiss_alarm(session: Session, number: int, person: str, *, address: str = "") -> bool:
    """A person says that it is over, which the audit keeps; False where none of this number is open."""
    is_open = select(Alarm).where(Alarm.id == number, Alarm.closed.is_(None))
    alarm = session.scalars(is_open.with_for_update()).one_or_none()
    if alarm is None:
        return False
    alarm.closed, alarm.seen_by = now(), person
    record(session, person, "alarm closed", detail=f"{alarm.kind}: {alarm.about}", address=address)
    return True
