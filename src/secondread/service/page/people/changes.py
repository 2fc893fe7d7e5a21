"""Changes to people, from the page and from the command line: carried out and audited in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

from secondread.service.page.people import persons
from secondread.service.store.audit import record
from secondread.service.store.database import Database

Hash = Callable[[str, str], str]
"""Of a password, for a name; raises UserError where it is too easy."""


class Change(Protocol):
    """`prepare` takes what needs long, a password's hash, before the transaction; `apply` says for the audit
    what was done."""

    def prepare(self) -> None: ...

    def apply(self, session: Session) -> str: ...


def carry_out(database: Database, change: Change, by: str, address: str = "") -> None:
    """`by` is who does it. Raises UserError, and nothing is changed."""
    change.prepare()
    with database.write() as session:
        record(session, by, "people", detail=change.apply(session), address=address)


@dataclass
class Add:
    name: str
    role: str
    hash: Hash
    password: str
    _hashed: str = ""

    def prepare(self) -> None:
        persons.role_of(self.role)
        self._hashed = self.hash(self.password, self.name)

    def apply(self, session: Session) -> str:
        persons.add(session, self.name, persons.role_of(self.role), password=self._hashed)
        return f"added {self.name} as {self.role}"


@dataclass
class SetRole:
    name: str
    role: str

    def prepare(self) -> None: ...

    def apply(self, session: Session) -> str:
        before = persons.find(session, self.name).role
        persons.set_role(session, self.name, persons.role_of(self.role))
        return f"{self.name}: {before} is now {self.role}"


@dataclass
class Disable:
    name: str

    def prepare(self) -> None: ...

    def apply(self, session: Session) -> str:
        persons.disable(session, self.name)
        return f"disabled {self.name}"


@dataclass
class Enable:
    name: str

    def prepare(self) -> None: ...

    def apply(self, session: Session) -> str:
        persons.enable(session, self.name)
        return f"enabled {self.name}"


@dataclass
class SetPassword:
    name: str
    hash: Hash
    password: str
    _hashed: str = ""

    def prepare(self) -> None:
        self._hashed = self.hash(self.password, self.name)

    def apply(self, session: Session) -> str:
        persons.set_password(session, self.name, self._hashed)
        return f"new password for {self.name}"
