"""`secondread service echo`: whether every destination is there."""

from __future__ import annotations

import typer

from secondread.cli.commands.service.opened import Configuration
from secondread.cli.failures import FINDINGS, one_line


@one_line("nothing was sent")
def echo(config: Configuration) -> None:
    """Ask every destination whether it is there.

    An archive by C-ECHO, a web archive and a webhook by OPTIONS, a mail server by logging in; of a receiver
    of HL7 the connection alone is made. Nothing is delivered. Exit 1 where one of them does not answer.
    """
    from secondread.errors import UserError
    from secondread.service.delivery.echo import ask_everybody
    from secondread.service.settings.service import ServiceSettings

    settings = ServiceSettings.load(config)
    if not settings.send.names:
        raise UserError(f"{config}: names no destination; name one under `send`")
    missing = False
    for asked in ask_everybody(settings):
        missing = missing or not asked.reached
        seconds = f"{asked.seconds:.2f} s"
        typer.echo("\t".join([asked.name, "there" if asked.reached else "away", asked.said, seconds]))
    if missing:
        raise typer.Exit(FINDINGS)
