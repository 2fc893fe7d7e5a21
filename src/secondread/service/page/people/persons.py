"""People: who may look, read and administer."""

from __future__ import annotations

import re
from typing import get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from secondread.errors import UserError
from secondread.service.page.people.sessions import end_all
from secondread.service.settings.page import Role
from secondread.service.store.jobs import now
from secondread.service.store.tables import Person

ROLES: tuple[Role, ...] = get_args(Role)
"""From the one that may least: each may what those before it may."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


def role_of(given: str) -> Role:
    for role in ROLES:
        if role == given:
            return role
    raise UserError(f"there is no role {given[:40]!r}; take one of {', '.join(ROLES)}")


def may(role: str, needed: Role) -> bool:
    return role in ROLES and ROLES.index(role_of(role)) >= ROLES.index(needed)


def add(session: Session, name: str, role: Role, *, password: str = "", subject: str | None = None) -> Person:
    """`password` is a hash. Raises UserError where the name is taken or is none."""
    if not NAME.fullmatch(name):
        raise UserError(
            "a name has at most 100 letters, digits and . _ @ + -, and begins with a letter or digit"
        )
    if taken := session.scalars(select(Person.name).where(func.lower(Person.name) == name.lower())).first():
        raise UserError(f"{taken} is there already; take another name")
    person = Person(name=name, role=role, password=password, subject=subject, created=now())
    session.add(person)
    session.flush()
    return person


def find(session: Session, name: str) -> Person:
    """Raises UserError where nobody has the name."""
    person = session.get(Person, name)
    if person is None:
        raise UserError(f"nobody here has the name {name[:100]!r}")
    return person


def everybody(session: Session) -> list[Person]:
    return list(session.scalars(select(Person).order_by(Person.name)))


def set_role(session: Session, name: str, role: Role) -> None:
    person = find(session, name)
    if role != ROLES[-1]:
        _keep_one_administrator(session, person)
    person.role = role


def set_password(session: Session, name: str, hashed: str) -> None:
    """And log out everywhere."""
    person = find(session, name)
    if person.subject is not None:
        raise UserError(f"{name} logs in by OpenID Connect and has no password here")
    person.password = hashed
    end_all(session, name)


def disable(session: Session, name: str) -> None:
    """And log out everywhere. What the person did stays under the name."""
    person = find(session, name)
    _keep_one_administrator(session, person)
    person.disabled = True
    end_all(session, name)


def enable(session: Session, name: str) -> None:
    find(session, name).disabled = False


def _keep_one_administrator(session: Session, person: Person) -> None:
    others = select(func.count()).where(
        Person.role == ROLES[-1], Person.disabled.is_(False), Person.name != person.name
    )
    if person.role == ROLES[-1] and not person.disabled and session.scalar(others) == 0:
        raise UserError(f"{person.name} is the last administrator; make another one first")
