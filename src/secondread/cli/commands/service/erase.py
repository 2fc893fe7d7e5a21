"""`secondread service erase`: everything of one patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, at_this_machine, opened
from secondread.cli.failures import one_line

if TYPE_CHECKING:
    from secondread.service.settings.service import ServiceSettings


@one_line("nothing was erased")
def erase(
    config: Configuration,
    patient: Annotated[
        str,
        typer.Option(
            "--patient",
            metavar="ID",
            help="Patient ID, as the worklist shows it; - reads it from standard input, where no list of "
            "processes shows it.",
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove everything of a patient from spool and database.

    The service may run meanwhile. Backups, the archive that sent the images, and wherever results were sent
    to still hold them.
    """
    import sys

    from secondread.service.spool.files import Spool
    from secondread.service.upkeep.erasure import erase_patient, held_of

    if patient == "-":
        patient = sys.stdin.readline().rstrip("\r\n")
    with opened(config) as (settings, database):
        with database.read() as session:
            held = held_of(session, patient)
        if not yes and not typer.confirm(f"Erase {held}?"):
            typer.echo("nothing was erased")
            return
        done, clean = erase_patient(database, Spool(settings.spool), patient, at_this_machine())
        typer.echo(f"erased: {done}")
        if not clean:
            typer.echo("the database's log is in use; it is emptied when the service ends")
        _tell_who_holds_it_still(settings)


def _tell_who_holds_it_still(settings: ServiceSettings) -> None:
    from secondread.service.upkeep.erasure import held_by_backups

    held = held_by_backups(settings.upkeep)
    if held.until is not None:
        typer.echo(
            f"{held.number} nightly backups may hold it, the last until {held.until.date()}; after a restore "
            "of one, erase again"
        )
    typer.echo("backups that were made by hand still hold it until you remove them")
    send = settings.send
    places = [one.name for one in send.dicom] + [one.name for one in send.web + send.hl7]
    typer.echo(
        "the archive that sent the images still holds them"
        + (f", and results are at {', '.join(places)}" if places else "")
        + ": erase there as well, or it may come again"
    )
