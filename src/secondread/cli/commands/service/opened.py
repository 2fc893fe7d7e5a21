"""The database of a configuration, for a command that needs no more of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from secondread.service.settings.service import ServiceSettings
    from secondread.service.store.database import Database

Configuration = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The service's configuration, a YAML file.")
]
PersonName = Annotated[str, typer.Argument(metavar="NAME", help="The name that the person logs in with.")]


@contextmanager
def opened(config: Path, *, begin: bool = False) -> Iterator[tuple[ServiceSettings, Database]]:
    """With its tables. Raises UserError where it cannot be reached.

    begin  make the spool and its database where there are none yet; else that is a UserError, so that a
           misspelt spool is no service without alarms
    """
    from secondread.errors import UserError
    from secondread.outputs.private import make_folder
    from secondread.service.settings.service import ServiceSettings
    from secondread.service.store.away import is_away
    from secondread.service.store.database import Database
    from secondread.service.store.migrate import migrate

    settings = ServiceSettings.load(config)
    if not settings.database and not begin and not (settings.spool / "service.sqlite").exists():
        raise UserError(
            f"{settings.spool}: there is no service yet; start it with `secondread serve {config}`, or mend "
            f"`spool` in {config}"
        )
    if not settings.database:
        make_folder(settings.spool)
    database = Database(settings.database_url)
    try:
        migrate(database)
        yield settings, database
    except Exception as error:
        if not is_away(error):
            raise
        raise UserError(f"{config}: its database does not answer; start it, or mend `database`") from None
    finally:
        database.close()


def at_this_machine() -> str:
    """Who acts, for the audit: the account of the operating system, in brackets."""
    import getpass

    return f"[{getpass.getuser()[:100]}]"
