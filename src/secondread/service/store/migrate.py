"""The tables as this version needs them, made of what an earlier one left.

A database is migrated in one transaction, which the next one waits for: two machines that start at once
migrate once, and a process that is killed meanwhile leaves the database as it was. Each step is a file of
`migrations/versions/`, which never changes after it was released.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from secondread.errors import DataError, UserError
from secondread.service.store.database import Database
from secondread.terminal.events import log_event

STEPS = Path(__file__).with_name("migrations")
LOCK = 7_302_611_905_114
"""Of PostgreSQL's advisory locks, the one that whoever migrates holds; any number that others do not use."""


def migrate(database: Database, *, steps: Path = STEPS) -> bool:
    """Bring the tables to this version; whether that changed anything.

    Raises UserError where a newer version made them, DataError where the database holds other tables or its
    rows do not fit together, and what the driver raises where it is away.
    """
    script = _script(steps)
    with database.engine.connect().execution_options(secondread_writes=True) as connection:
        if database.is_sqlite:  # a table that is built anew would take the rows that refer to it along
            _pragma(connection, "foreign_keys=OFF")
        try:
            with connection.begin():
                if not database.is_sqlite:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
                before = _revision(connection, script, database)
                if before == script.get_current_head():
                    return False
                _upgrade(connection, script)
                if database.is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise DataError(
                        f"{_name(database)}: rows refer to others that are not there; restore a backup"
                    )
        finally:
            if database.is_sqlite:
                _pragma(connection, "foreign_keys=ON")
    log_event("database migrated", before=before or "none", after=script.get_current_head())
    return True


def check_version(database: Database, *, steps: Path = STEPS) -> None:
    """Raises UserError where the tables are not those of this version."""
    script = _script(steps)
    with database.engine.connect() as connection:
        found = _revision(connection, script, database)
    if found != script.get_current_head():
        raise UserError(
            f"{_name(database)}: its tables are of revision {found or 'none'}, and this version needs "
            f"{script.get_current_head()}; `secondread serve` brings them there when it starts"
        )


def _script(steps: Path) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(steps).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _revision(connection: Connection, script: ScriptDirectory, database: Database) -> str | None:
    """What the database is at, one of this version's steps; None where it is empty."""
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None and connection.dialect.has_table(connection, "study"):
        raise DataError(
            f"{_name(database)}: has a table `study` that no service made; give the service a database of "
            "its own"
        )
    if found is not None and found not in {step.revision for step in script.walk_revisions()}:
        raise UserError(
            f"{_name(database)}: a newer version of secondread made its tables (revision {found}; this one "
            f"knows up to {script.get_current_head()}); install that version, or restore a backup from before"
        )
    return found


def _upgrade(connection: Connection, script: ScriptDirectory) -> None:
    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), script, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection, render_as_batch=True)
        environment.run_migrations()


def _pragma(connection: Connection, text: str) -> None:
    """Outside of a transaction, where SQLite takes it."""
    connection.connection.driver_connection.execute(f"PRAGMA {text}")  # type: ignore[union-attr]


def _name(database: Database) -> str:
    """For a message: the file, or the address without the password."""
    url = database.engine.url
    return str(url.database) if database.is_sqlite else url.render_as_string(hide_password=True)


def why_away(error: DBAPIError) -> str:
    """The first line of what the driver says."""
    return str(error.orig).strip().partition("\n")[0]
