"""Who saw and did what: rows that are added, each chained to the one before by a hash.

chain_i = SHA-256(chain_(i-1) · what row i says), with chain_0 = 64 zeros. Whoever changes, removes or slips
in a row has to compute every later chain again, and then a chain that was noted elsewhere is no longer found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from secondread.service.store.jobs import now
from secondread.service.store.tables import Audit

FIRST = "0" * 64
LOCK = 0x5EC0_4D17
"""PostgreSQL's advisory lock: two rows are never chained to the same one."""
PAGE = 1000


def record(
    session: Session, person: str, action: str, *, study_uid: str = "", detail: str = "", address: str = ""
) -> None:
    """Add a row, in the transaction of what it tells, which has to be one of `Database.write`; as the last
    thing in it, since others wait from here on.

    person  who did it; empty where nobody was logged in. A part of the service says its own name in
            brackets: `[upkeep]`
    action  one or two words in lower case: `viewed`, `logged in`, `threshold`
    detail  never a patient's identity
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    session.flush()
    before = session.scalars(select(Audit.chain).order_by(Audit.id.desc()).limit(1)).first() or FIRST
    row = Audit(
        at=now(), person=person, action=action, study_uid=study_uid, detail=detail, address=address, chain=""
    )
    row.chain = _chain(before, row)
    session.add(row)
    session.flush()


def _chain(before: str, row: Audit) -> str:
    said = [row.at.isoformat(), row.person, row.action, row.study_uid, row.detail, row.address]
    return hashlib.sha256(f"{before}{json.dumps(said, ensure_ascii=True)}".encode()).hexdigest()


@dataclass(frozen=True)
class Verified:
    """What a walk along the chain found.

    rows    that agree with it, from the first on
    broken  the first row that does not, None where all do
    head    the last chain that agrees: note it elsewhere, and ask for it the next time
    noted   whether the chain that was asked for is one of them
    """

    rows: int
    broken: int | None
    head: str
    noted: bool

    @property
    def whole(self) -> bool:
        return self.broken is None and self.noted


def verify(session: Session, noted: str = "") -> Verified:
    """Walk along the chain. `noted` is a head that was seen before: it has to be there still, else rows were
    cut off at the end or the whole chain was computed again."""
    before, rows, found = FIRST, 0, noted in ("", FIRST)
    for row in _all(session):
        if row.chain != _chain(before, row):
            return Verified(rows, row.id, before, found)
        before, rows = row.chain, rows + 1
        found = found or row.chain == noted
    return Verified(rows, None, before, found)


def _all(session: Session) -> Iterator[Audit]:
    last = -1
    while True:
        page = session.scalars(select(Audit).where(Audit.id > last).order_by(Audit.id).limit(PAGE)).all()
        if not page:
            return
        yield from page
        last = page[-1].id
        session.expunge_all()
