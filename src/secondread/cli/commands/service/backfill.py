"""`secondread service backfill`: studies that an archive has already."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, opened
from secondread.cli.failures import FINDINGS, one_line


@one_line("nothing was fetched")
def backfill(
    config: Configuration,
    peer: Annotated[str, typer.Option("--from", metavar="TITLE", help="The archive, one of receive.peers.")],
    since: Annotated[
        datetime,
        typer.Option(
            "--since", metavar="DATE", help="The first day, such as 2026-01-31.", formats=["%Y-%m-%d"]
        ),
    ],
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until", metavar="DATE", help="The last day.", formats=["%Y-%m-%d"], show_default="today"
        ),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option("--modality", metavar="TERM", help="Studies with images of it.", show_default=False),
    ] = None,
    get: Annotated[
        bool, typer.Option("--get", help="By C-GET, where the archive moves nothing to this service.")
    ] = False,
    per_hour: Annotated[
        float, typer.Option("--per-hour", min=0.1, help="Studies asked for at most.")
    ] = 600.0,
    waiting: Annotated[
        int,
        typer.Option(
            "--waiting", min=1, help="Studies that may wait for scorers while another is asked for."
        ),
    ] = 50,
) -> None:
    """Fetch studies that an archive has already, the newest day first.

    The service has to run, since the archive moves studies to its receiver (but for --get). What is here is
    passed over: start it again after it was ended. Live studies are read before those that were fetched. Exit
    1 where a study could not be fetched whole.
    """
    from secondread.service.intake.backfill import Archive, Asked, Pace, peer_named
    from secondread.service.intake.backfill import backfill as fetch
    from secondread.service.spool.files import Spool
    from secondread.terminal.counting import counting

    with opened(config) as (settings, database):
        archive = Archive(settings, peer_named(settings, peer), database, Spool(settings.spool))
        asked = Asked(since.date(), (until or datetime.now()).date(), tuple(modality or ()))
        with counting("backfill", shown=True) as note:
            told = fetch(archive, database, asked, Pace(per_hour, waiting), by_get=get, note=note)
    typer.echo(
        f"{told.found} studies found, {told.here} were here, {told.fetched} fetched, {told.failed} not whole"
    )
    if told.failed:
        raise typer.Exit(FINDINGS)
