"""`secondread service person`: who may log in to the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, PersonName, at_this_machine, opened
from secondread.cli.failures import one_line

if TYPE_CHECKING:
    from secondread.service.page.people.changes import Change

Role = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="viewer, reader or administrator.", show_default=True)
]


@one_line("nothing was changed")
def add(config: Configuration, name: PersonName, role: Role = "viewer") -> None:
    """Add somebody, with a password.

    The password is asked twice at a terminal; else it is the first line of standard input. It is never given
    on the command line, where others could see it.
    """
    from secondread.service.page.people.changes import Add
    from secondread.service.page.people.passwords import Passwords
    from secondread.service.page.people.persons import role_of

    role_of(role)
    _carry_out(config, Add(name, role, Passwords().hash, _asked(name)))


@one_line("nothing was changed")
def show(config: Configuration) -> None:
    """List who may log in, and as what."""
    from secondread.service.page.people.persons import everybody

    with opened(config) as (_, database), database.read() as session:
        for person in everybody(session):
            facts = ["disabled"] if person.disabled else []
            facts += ["by OpenID Connect"] if person.subject else []
            typer.echo("\t".join([person.name, person.role, ", ".join(facts)]).rstrip())


@one_line("nothing was changed")
def role(
    config: Configuration,
    name: PersonName,
    new: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, reader or administrator.")],
) -> None:
    """Give somebody another role."""
    from secondread.service.page.people.changes import SetRole

    _carry_out(config, SetRole(name, new))


@one_line("nothing was changed")
def passwd(config: Configuration, name: PersonName) -> None:
    """Give somebody a new password, and log out everywhere.

    It is asked twice at a terminal; else it is the first line of standard input.
    """
    from secondread.service.page.people.changes import SetPassword
    from secondread.service.page.people.passwords import Passwords

    _carry_out(config, SetPassword(name, Passwords().hash, _asked(name)))


@one_line("nothing was changed")
def disable(config: Configuration, name: PersonName) -> None:
    """Let somebody log in no more, and log out everywhere.

    What the person did stays under the name.
    """
    from secondread.service.page.people.changes import Disable

    _carry_out(config, Disable(name))


@one_line("nothing was changed")
def enable(config: Configuration, name: PersonName) -> None:
    """Let somebody log in again."""
    from secondread.service.page.people.changes import Enable

    _carry_out(config, Enable(name))


def _carry_out(config: Path, change: Change) -> None:
    from secondread.service.page.people.changes import Add, carry_out

    with opened(config, begin=isinstance(change, Add)) as (_, database):
        carry_out(database, change, at_this_machine())


def _asked(name: str) -> str:
    import getpass
    import sys

    from secondread.errors import UserError

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("Again: ") != password:
        raise UserError("the two passwords differ; nothing was changed")
    return password
