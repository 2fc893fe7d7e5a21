"""`secondread service sender`: which machines may send studies by STOW-RS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, at_this_machine, opened
from secondread.cli.failures import one_line

if TYPE_CHECKING:
    from secondread.service.settings.service import ServiceSettings

SenderName = Annotated[str, typer.Argument(metavar="NAME", help="What the sender is called here.")]


@one_line("nothing was changed")
def add(config: Configuration, name: SenderName) -> None:
    """Add a sender, and print its token once.

    The sender puts it into each request: `Authorization: Bearer TOKEN`. Its hash alone is kept. A page that
    runs knows it at once.
    """
    from secondread.service.page.stow import senders
    from secondread.service.store.audit import record

    with opened(config, begin=True) as (settings, database):
        token = senders.add(_file(settings, config), name)
        with database.write() as session:
            record(session, at_this_machine(), "senders", detail=f"added {name}")
    typer.echo(token)


@one_line("nothing was changed")
def show(config: Configuration) -> None:
    """List the senders."""
    from secondread.service.page.stow import senders
    from secondread.service.settings.service import ServiceSettings

    for name in senders.read(_file(ServiceSettings.load(config), config)):
        typer.echo(name)


@one_line("nothing was changed")
def remove(config: Configuration, name: SenderName) -> None:
    """Take a sender's token away; it holds no more at once."""
    from secondread.service.page.stow import senders
    from secondread.service.store.audit import record

    with opened(config) as (settings, database):
        senders.remove(_file(settings, config), name)
        with database.write() as session:
            record(session, at_this_machine(), "senders", detail=f"removed {name}")


def _file(settings: ServiceSettings, config: Path) -> Path:
    from secondread.errors import UserError

    if settings.page.senders_file is None:
        raise UserError(f"{config}: name a file for the senders' tokens as `page.senders_file`")
    return settings.page.senders_file
