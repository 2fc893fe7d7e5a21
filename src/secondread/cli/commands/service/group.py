"""The commands of a running service, under `secondread service`."""

from __future__ import annotations

import typer

from secondread.cli.commands.service import person, sender
from secondread.cli.commands.service.alarms import alarms
from secondread.cli.commands.service.audit import audit
from secondread.cli.commands.service.backfill import backfill
from secondread.cli.commands.service.backup import backup, restore
from secondread.cli.commands.service.echo import echo
from secondread.cli.commands.service.erase import erase
from secondread.cli.commands.service.labels import labels
from secondread.cli.commands.service.report import report
from secondread.cli.commands.service.send import send
from secondread.cli.help_pages import add_command

service = typer.Typer(
    name="service",
    help="Look after a service: its people, senders, audit, alarms, labels, reports and backups.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
people = typer.Typer(
    name="person", help="People who may log in to the page.", no_args_is_help=True, rich_markup_mode=None
)
senders = typer.Typer(
    name="sender",
    help="Machines that may send studies by STOW-RS.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for part in (audit, alarms, labels, report, send, echo, backfill, backup, restore, erase):
    add_command(service, part)
for command in (person.add, person.show, person.role, person.passwd, person.disable, person.enable):
    add_command(people, command)
for command in (sender.add, sender.show, sender.remove):
    add_command(senders, command)
service.add_typer(people)
service.add_typer(senders)
