"""`secondread service backup` and `restore`: a copy of a service, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, at_this_machine
from secondread.cli.failures import one_line
from secondread.cli.options import Quiet
from secondread.terminal.say import say
from secondread.wording.numbers import count

if TYPE_CHECKING:
    from secondread.service.settings.service import ServiceSettings


@one_line("nothing was written")
def backup(
    config: Configuration,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="A new folder.")],
    spool: Annotated[
        bool,
        typer.Option(
            "--spool", help="With the files of instances and readings, as hard links on the same disk."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Copy the database of a service as of one moment.

    The service may run meanwhile. The folder holds a manifest and a SHA-256 of every file, which a restore
    compares. Configuration, bundles, certificates and files with secrets lie elsewhere, and are not in it.
    """
    from secondread.service.upkeep.backup import make_backup

    made = make_backup(_settings(config), output, spool=spool)
    say(f"{count(made.studies, 'study', 'studies')}; audit head {made.audit_head or 'none'}", shown=not quiet)
    if made.missing or made.damaged:
        say(f"{made.missing} files were not in the spool, and {made.damaged} are not what their rows say")
    typer.echo(output)


@one_line("the same command begins again; the database is as it was")
def restore(
    config: Configuration,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `service backup` wrote.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a database that is there, and keep the spool's files.")
    ] = False,
) -> None:
    """Put a backup back.

    The service must not run meanwhile. Every file is compared with its SHA-256 first. What was received after
    the backup has no row in it: the next start removes its files, and its senders have to send it again.
    """
    from secondread.service.upkeep.restore import restore as put_back

    done = put_back(_settings(config), folder, person=at_this_machine(), force=force)
    put = count(done.files, "file was", "files were")
    at = done.made.isoformat(timespec="seconds")
    typer.echo(f"{count(done.studies, 'study', 'studies')} as of {at}; {put} put into the spool")
    typer.echo(f"send again what came after {at}: it has no row, and nobody is told that it is here")
    if done.leftover:
        typer.echo(f"{done.leftover} files of the spool have no row: the next start removes them")
    if done.missing:
        typer.echo(f"{done.missing} instances have no file: they are taken in when they are sent again")


def _settings(config: Path) -> ServiceSettings:
    from secondread.service.settings.service import ServiceSettings

    return ServiceSettings.load(config)
