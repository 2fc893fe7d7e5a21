"""Whether the service lives, and whether it can take and read studies now."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.away import is_away
from secondread.service.store.database import Database
from secondread.service.store.tables import Worker
from secondread.service.watching.condition import GIGABYTE


@dataclass(frozen=True)
class Health:
    """What was looked at: name -> `ok`, or what is wrong in a few fixed words."""

    checks: dict[str, str]

    @property
    def ready(self) -> bool:
        return all(said == "ok" for said in self.checks.values())


def health_of(database: Database, settings: ServiceSettings) -> Health:
    """The database answers, the spool has room, and whoever has to is at work."""
    checks = {"database": "ok", "spool": "ok"}
    try:
        if Spool(settings.spool).free_bytes() < settings.receive.free_gb * GIGABYTE:
            checks["spool"] = "the disk is full"
    except OSError:
        checks["spool"] = "cannot be read"
    try:
        with database.read() as session:
            checks |= _at_work(session, settings)
    except Exception as error:
        if not is_away(error):
            raise
        checks["database"] = "does not answer"
    return Health(checks)


def _at_work(session: Session, settings: ServiceSettings) -> dict[str, str]:
    roles = set(session.scalars(select(Worker.role)))
    needed = ["keeper", "receiver", *(["scorer"] if settings.scorers else [])]
    return {role: "ok" if role in roles else "is not at work" for role in needed}
