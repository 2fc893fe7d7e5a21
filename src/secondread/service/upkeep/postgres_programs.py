"""PostgreSQL's own programs, which copy a database and put it back."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, inspect
from sqlalchemy.dialects import postgresql

from secondread.errors import UserError


def dump(url: URL, target: Path, snapshot: str) -> None:
    """Copy what the snapshot of an open transaction sees. Raises UserError."""
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}",
         f"--file={target}")  # fmt: skip


def put_back(connection: Connection, url: URL, source: Path, folder: Path) -> None:
    """Replace all tables by those of a copy, in one transaction.

    connection  to look at what is there
    folder      for the statements meanwhile
    Raises UserError where a program is missing or the server refuses; then nothing was changed.
    """
    quote = postgresql.dialect().identifier_preparer.quote_identifier
    names = inspect(connection).get_table_names()
    connection.rollback()  # so that nothing is held when the tables go
    away, back = folder / "away.sql", folder / "back.sql"
    statements = [f"DROP TABLE {quote(name)} CASCADE;" for name in names]
    away.write_text("\n".join([*statements, "DROP FUNCTION IF EXISTS audit_refuse() CASCADE;\n"]), "utf-8")
    _run("pg_restore", None, "--no-owner", "--no-privileges", f"--file={back}", str(source))
    _run("psql", url, "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1",
         f"--file={away}", f"--file={back}")  # fmt: skip


def _run(program: str, url: URL | None, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise UserError(
            f"{program} is not installed here; install PostgreSQL's client programs, of the server's version "
            "or a newer one"
        )
    given, settings = [], dict(os.environ)
    if url is not None:
        address = {
            "host": url.host,
            "port": url.port,
            "user": url.username,
            "dbname": url.database,
            **url.query,
        }
        words = {name: str(value) for name, value in address.items() if value}
        given = [f"--dbname={make_conninfo('', **words)}"]
        if url.password is not None:  # where no other user of the machine sees it
            settings["PGPASSWORD"] = str(url.password)
    done = subprocess.run(
        [found, *given, *arguments], stdin=subprocess.DEVNULL, capture_output=True, env=settings, check=False
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no word")
        raise UserError(f"{said[:300]}; nothing was changed")
