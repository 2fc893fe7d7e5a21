"""Before the processes start: the spool is theirs, the database has this version's tables, and nobody holds a
job whom the last run left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from secondread.errors import UserError
from secondread.outputs.lock import holder, only_one
from secondread.service.processes.roles import ROLES, Role
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.away import Stopped, is_away, patiently
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate, why_away
from secondread.service.store.tables import Person
from secondread.service.store.workers import host, release_gone


def held_folder(settings: ServiceSettings, only: tuple[Role, ...]) -> Path:
    """What a service holds: the spool, or on a further machine that scores alone, its place in it."""
    return settings.spool if only == ROLES else settings.spool / "machines" / host()


@contextmanager
def hold_spool(settings: ServiceSettings, only: tuple[Role, ...]) -> Iterator[None]:
    """One service at a spool. Raises UserError, which says who holds it."""
    if only != ROLES and Database(settings.database_url).is_sqlite:
        raise UserError(
            "scorers of several machines need a database that they share; give `database` an address of "
            "PostgreSQL"
        )
    folder = held_folder(settings, only)
    with ExitStack() as held:
        try:
            held.enter_context(only_one(folder))
        except UserError as error:
            if not (who := holder(folder)):
                raise
            raise UserError(
                f"{folder}: a service is at work here already ({who}); end it first, or choose another spool"
            ) from error
        yield


def prepare(
    settings: ServiceSettings, stop: threading.Event, tell: Callable[[str], None]
) -> tuple[Database, Spool, bool] | None:
    """The database, migrated, the spool, and whether nobody may log in yet; waits for a database that is
    away. None where `stop` was set meanwhile."""
    spool = Spool(settings.spool)
    database = Database(settings.database_url)
    told: set[str] = set()

    def attempt() -> bool:
        try:
            migrate(database)
            release_gone(database)
            return _nobody_may_log_in(database)
        except DBAPIError as error:
            if is_away(error) and (why := why_away(error)) not in told:
                told.add(why)
                tell(f"the database is away ({why}); waiting for it")
            raise

    try:
        nobody = patiently(attempt, stop)
    except Stopped:
        database.close()
        return None
    return database, spool, nobody


def _nobody_may_log_in(database: Database) -> bool:
    """Whether no administrator is known."""
    with database.read() as session:
        administrators = select(Person.name).where(Person.role == "administrator", Person.disabled.is_(False))
        return session.scalar(administrators.limit(1)) is None
