"""`secondread check`: what is wrong with a manifest's images before anything is fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import stream_manifest
from secondread.cli.options import Force, ManifestFile, Quiet, RayAddress, ShardRows, Where, Workers
from secondread.cli.table_output import TableOutput
from secondread.errors import UserError
from secondread.terminal.say import harmless, say
from secondread.wording.numbers import count

if TYPE_CHECKING:
    from secondread.cohorts.checking.findings import Found

COLUMNS = ("severity", "kind", "finding", "paths")
MOST_LINES = 1000
"""Printed of one kind: files that cannot be read have a line each."""


@one_line("run the same command again")
def check(
    manifest: ManifestFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write the findings as CSV.")
    ] = None,
    where: Where = None,
    workers: Workers = None,
    ray: RayAddress = None,
    shard_rows: ShardRows = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Look for unreadable, constant or duplicate images and for leaks.

    Also for mismatched sizes and masks, and patients in more than one part. Exit 1 for any finding but notes.
    With --ray or --shard-rows the same command goes on where one was stopped.
    """
    from secondread.cohorts.checking.check import see
    from secondread.cohorts.checking.findings import findings
    from secondread.cohorts.checking.seen_table import SeenTable
    from secondread.images.workers.cores import available_cores
    from secondread.outputs.folders import output_folder
    from secondread.outputs.whole import remove_folder
    from secondread.terminal.counting import counting

    place = None
    if output is not None:
        place = TableOutput("check", output, COLUMNS, "table of findings", manifest, force=force)
    elif ray is not None or shard_rows is not None:
        asked = "--shard-rows" if ray is None else "--ray"
        raise UserError(f"{asked} needs -o FILE: what was seen is kept beside it until all is")
    source, overview = stream_manifest(manifest, where, quiet=quiet)
    with ExitStack() as stack:
        table = stack.enter_context(closing(SeenTable()))
        kept = None
        if output is None or (ray is None and shard_rows is None):
            see(table, source.rows(), source.base, workers=available_cores() if workers is None else workers)
        else:
            from secondread.cli.archive_checking import check_in_shards, kept_beside

            kept = stack.enter_context(output_folder(kept_beside(output), "check"))
            with counting("checking", shown=not quiet, total=overview.rows) as show:
                check_in_shards(
                    table, source, overview, kept, workers=workers, ray=ray, rows_per_shard=shard_rows,
                    progress=show,
                )  # fmt: skip
        told = _told(findings(table), None if place is None else place.path, quiet=quiet)
        if place is not None:
            place.written(digests={"manifest": overview.digest}, findings=told.total())
            typer.echo(place.path)
        if kept is not None:
            remove_folder(kept)
    if told["error"] or told["warning"]:
        raise typer.Exit(FINDINGS)
    if not quiet:
        said = f"nothing but {count(told['note'], 'note')}" if told["note"] else "nothing found"
        say(f"{said} in {count(overview.rows, 'image')}")


def _told(found: Iterable[Found], place: Path | None, *, quiet: bool) -> Counter[str]:
    """Print findings and write them down as they come; how many there were of each severity."""
    from secondread import tables
    from secondread.outputs.whole import cannot_write, whole_file

    severities, kinds = Counter[str](), Counter[str]()
    try:
        with ExitStack() as stack:
            file = None if place is None else stack.enter_context(whole_file(place))
            if file is not None:
                file.write(tables.line(COLUMNS).encode())
            for each in found:
                severities[each.severity] += 1
                if file is not None:
                    cells = (each.severity, each.kind, each.line)
                    file.writelines(piece.encode() for piece in tables.line_with_list(cells, each.paths))
                if not quiet or each.severity == "error":
                    kinds[each.kind] += 1
                    if kinds[each.kind] <= MOST_LINES:
                        typer.echo(harmless(f"{each.severity}: {each.line}"))
    except OSError as error:
        if place is None:
            raise
        raise cannot_write(place, error) from error
    for kind, number in kinds.items():
        if number > MOST_LINES:
            elsewhere = "which -o FILE writes down" if place is None else f"in {place}"
            typer.echo(f"… and {number - MOST_LINES:,} more findings of the kind {kind}, {elsewhere}")
    return severities
