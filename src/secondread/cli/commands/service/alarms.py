"""`secondread service alarms`: what is wrong, and that it was seen."""

from __future__ import annotations

from typing import Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, at_this_machine, opened
from secondread.cli.failures import FINDINGS, one_line


@one_line("nothing was changed")
def alarms(
    config: Configuration,
    close: Annotated[
        int | None,
        typer.Option("--close", metavar="NUMBER", help="Close this one.", show_default="they are listed"),
    ] = None,
) -> None:
    """List the alarms that are open, or close one of them.

    Closing an alarm of drift says that what it told of is to stay: what comes from then on is compared with
    itself. Exit 1 where alarms are open.
    """
    from sqlalchemy import select

    from secondread.errors import UserError
    from secondread.service.store.alarms import dismiss_alarm
    from secondread.service.store.tables import Alarm

    with opened(config) as (_, database), database.write() as session:
        if close is not None and not dismiss_alarm(session, close, at_this_machine()):
            raise UserError(f"no alarm {close} is open; `secondread service alarms` lists them")
        is_open = select(Alarm).where(Alarm.closed.is_(None)).order_by(Alarm.opened, Alarm.id)
        rows = list(session.scalars(is_open))
    for row in rows:
        at = row.opened.isoformat(timespec="minutes")
        typer.echo("\t".join((str(row.id), at, row.kind, f"{row.count}×", row.text, row.remedy)))
    if rows and close is None:
        raise typer.Exit(FINDINGS)
