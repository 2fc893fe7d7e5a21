"""`secondread service send`: readings leave again, by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, at_this_machine, opened
from secondread.cli.failures import FINDINGS, one_line
from secondread.terminal.say import say
from secondread.wording.numbers import count

if TYPE_CHECKING:
    from secondread.service.delivery.again import Sent

POLL_S = 0.2
WAITS = ("waiting", "running")


@one_line("what was written down is sent all the same")
def send(
    config: Configuration,
    study: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="Study UID, accession number, or number in the worklist."),
    ] = "",
    to: Annotated[str, typer.Option("--to", metavar="DESTINATION", help="One destination alone.")] = "",
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Everything that was set aside, in place of one study.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for the outcome.")
    ] = 30.0,
) -> None:
    """Send a study's reading again, or everything that was set aside.

    The newest reading counts, and the service that runs sends it. An archive recognises objects that it has
    by their UIDs, and a receiver of HL7 its message by the control id. Exit 1 where something was not taken
    within the time.
    """
    from secondread.errors import UserError
    from secondread.service.delivery.again import how_they_stand, send_set_aside_again, send_study_again

    if bool(study) == set_aside:
        raise UserError("give a study, or --set-aside")
    with opened(config) as (settings, database):
        person = at_this_machine()
        if set_aside:
            jobs = send_set_aside_again(database, settings.send, to, person)
        else:
            jobs = send_study_again(database, settings.send, study, to, person)
        end = time.monotonic() + wait
        stand = how_they_stand(database, jobs)
        while any(one.state in WAITS for one in stand) and time.monotonic() < end:
            time.sleep(POLL_S)
            stand = how_they_stand(database, jobs)
    if not stand:
        say(f"nothing was set aside{f' for {to}' if to else ''}")
    for one in stand:
        typer.echo("\t".join([one.destination, one.state, one.reason]).rstrip())
    _end(stand)


def _end(stand: list[Sent]) -> None:
    waiting = sum(one.state in WAITS for one in stand)
    if waiting:
        waits = count(waiting, "delivery waits", "deliveries wait")
        say(f"{waits}, for a service that runs and its destination")
    if any(one.state != "done" for one in stand):
        raise typer.Exit(FINDINGS)
