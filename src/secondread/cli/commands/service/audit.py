"""`secondread service audit`: who saw and did what."""

from __future__ import annotations

from typing import Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, opened
from secondread.cli.failures import FINDINGS, one_line, stop
from secondread.wording.numbers import count


@one_line("nothing was changed")
def audit(
    config: Configuration,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no row was changed, removed or slipped in.")
    ] = False,
    head: Annotated[
        str,
        typer.Option(metavar="HEAD", help="With --verify: a head noted earlier, which must still be there."),
    ] = "",
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="How many of the newest rows.")] = 100,
) -> None:
    """Print the newest rows of the audit, or check its chain.

    A row is a time, a person, an action, a study, a detail and an address, with tabs between. A check prints
    how many rows agree and the chain's head: note it outside of this machine, and ask for it the next time.
    Exit 1 where the chain is broken.
    """
    from sqlalchemy import select

    from secondread.errors import UserError
    from secondread.service.store.audit import verify as walk
    from secondread.service.store.tables import Audit

    if head and not verify:
        raise UserError("--head needs --verify")
    with opened(config) as (_, database), database.read() as session:
        if not verify:
            for row in reversed(session.scalars(select(Audit).order_by(Audit.id.desc()).limit(rows)).all()):
                at = row.at.isoformat(timespec="seconds")
                fields = (at, row.person, row.action, row.study_uid, row.detail, row.address)
                typer.echo("\t".join(fields))
            return
        found = walk(session, head)
    if found.broken is not None:
        stop(
            f"the audit's chain is broken at row {found.broken}, after {count(found.rows, 'row')} whose "
            "hashes agree; compare with a backup",
            FINDINGS,
        )
    if not found.noted:
        stop("the head is not in the chain: rows were removed, or all were written anew", FINDINGS)
    typer.echo(f"{count(found.rows, 'row agrees', 'rows agree')}; head {found.head}")
