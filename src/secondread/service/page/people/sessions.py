"""Browsers that are logged in. A cookie holds a random token, the database its hash alone."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from secondread.service.settings.page import PageSettings
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.service.store.tables import LoginSession, Person


def digest_of(token: str) -> str:
    """What is kept of a token: its SHA-256 in hexadecimal. Tokens are random, so it needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin(session: Session, person: str, settings: PageSettings) -> str:
    """A new session and its token. Those that have ended are swept out."""
    at, token = now(), secrets.token_urlsafe(32)
    session.execute(delete(LoginSession).where(LoginSession.expires < at))
    session.add(
        LoginSession(
            token=digest_of(token),
            person=person,
            csrf=secrets.token_urlsafe(32),
            created=at,
            last_seen=at,
            expires=at + timedelta(hours=settings.session_h),
        )
    )
    return token


def end(session: Session, token: str) -> None:
    session.execute(delete(LoginSession).where(LoginSession.token == digest_of(token)))


def end_all(session: Session, person: str) -> None:
    session.execute(delete(LoginSession).where(LoginSession.person == person))


def seen(database: Database, token: str, settings: PageSettings) -> tuple[LoginSession, Person] | None:
    """The session of a token with its person, None where there is none or it has ended.

    When it was last seen is written at most ten times in `idle_min`.
    """
    at, idle = now(), timedelta(minutes=settings.idle_min)
    with database.read() as session:
        row = session.get(LoginSession, digest_of(token))
        person = session.get(Person, row.person) if row is not None else None
    if row is None or person is None:
        return None
    if person.disabled or at >= row.expires or abs(at - row.last_seen) >= idle:
        with database.write() as session:
            session.execute(delete(LoginSession).where(LoginSession.token == row.token))
        return None
    if abs(at - row.last_seen) >= idle / 10:
        _touch(database, row.token, at)
    return row, person


def _touch(database: Database, digest: str, at: datetime) -> None:
    with database.write() as session:
        row = session.scalars(select(LoginSession).where(LoginSession.token == digest)).first()
        if row is not None:
            row.last_seen = at
