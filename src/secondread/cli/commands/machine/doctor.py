"""`secondread doctor`: whether this machine has what the package needs."""

from __future__ import annotations

from typing import Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.options import CacheDirectory


@one_line("run the same command again")
def doctor(
    cache: CacheDirectory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what this machine has and what it lacks.

    Versions, devices, threads, a broken torchvision, missing codecs, encoders at hand, the cache's folder and
    size. Exit 1 on trouble.
    """
    import json
    from dataclasses import asdict

    from secondread.cli.machine_checks import examine

    findings = examine(cache)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            typer.echo(f"{'ok   ' if finding.fine else 'FAULT'}  {finding.name:<14} {finding.what}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(FINDINGS)
