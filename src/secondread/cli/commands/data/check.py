"""`secondread check`: what is wrong with a manifest's images before anything is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import Force, ManifestFile, Quiet, Where, Workers
from secondread.cli.table_output import TableOutput
from secondread.terminal.say import harmless, say
from secondread.wording.numbers import count

COLUMNS = ("severity", "kind", "finding", "paths")


@one_line("run the same command again")
def check(
    manifest: ManifestFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write the findings as CSV.")
    ] = None,
    where: Where = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Look for unreadable, constant or duplicate images and for leaks.

    Also for mismatched sizes and masks, and patients in more than one part. Exit 1 for any finding but notes.
    """
    from secondread import tables
    from secondread.cohorts.checking.check import check as check_manifest
    from secondread.images.workers.cores import available_cores
    from secondread.outputs.whole import write_whole

    place = None
    if output is not None:
        place = TableOutput("check", output, COLUMNS, "table of findings", manifest, force=force)
    source = read_manifest(manifest, where, quiet=quiet)
    findings = check_manifest(source, workers=available_cores() if workers is None else workers)
    for finding in findings:
        if quiet and finding.severity != "error":
            continue
        typer.echo(harmless(f"{finding.severity}: {finding.line}"))
    if place is not None:
        rows = [[f.severity, f.kind, f.line, tables.joined(f.paths)] for f in findings]
        table = tables.table([COLUMNS, *rows])
        write_whole(place.path, table.encode())
        place.written(digests={"manifest": source.digest}, findings=len(findings))
        typer.echo(place.path)
    if any(finding.severity != "note" for finding in findings):
        raise typer.Exit(FINDINGS)
    if not quiet:
        said = f"nothing but {count(len(findings), 'note')}" if findings else "nothing found"
        say(f"{said} in {count(len(source.rows), 'image')}")
