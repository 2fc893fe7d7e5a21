"""`secondread service report`: a month of the service on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, opened
from secondread.cli.failures import one_line
from secondread.cli.options import Quiet
from secondread.terminal.say import say
from secondread.wording.numbers import count


@one_line("run the same command again")
def report(
    config: Configuration,
    month: Annotated[str, typer.Option("--month", metavar="MONTH", help="The month, as 2026-11 (UTC).")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Page to write (HTML); its JSON lies beside."),
    ],
    quiet: Quiet = False,
) -> None:
    """Write the report of a month as one page.

    Flags against the promise, drift by scanner, readers, shadow bundles, delays, failures, alarms. It names
    no patient. A report that is there is replaced.
    """
    from secondread.errors import UserError
    from secondread.outputs.whole import cannot_write
    from secondread.service.watching.month import month_of
    from secondread.service.watching.month_written import write_month

    if output.suffix != ".html":
        raise UserError(f"{output}: a report is a page; give a name that ends with .html")
    with opened(config) as (settings, database):
        found = month_of(database, settings, month)
    try:
        write_month(found, output)
    except OSError as error:
        raise cannot_write(output, error) from error
    if not quiet:
        say(f"{count(found.studies, 'study', 'studies')} came in, {count(len(found.alarms), 'alarm')}")
    typer.echo(output)
