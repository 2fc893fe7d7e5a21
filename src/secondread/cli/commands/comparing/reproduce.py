"""`secondread reproduce`: a paper's tables, run again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.commands.comparing.compare import on_this_machine
from secondread.cli.completion import paper_names
from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import (
    Bootstrap,
    CacheDirectory,
    Device,
    DownloadWeights,
    DryRun,
    Jobs,
    ManifestFile,
    Quiet,
    RowSettings,
    Threads,
    Where,
)
from secondread.terminal.say import harmless, say


@one_line("the same command goes on where this one stopped")
def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            metavar="PAPER",
            help="ae-flow, ddad, f-anogan, glow-unlabelled-curve, shibata-bct or shibata-cxr.",
            autocompletion=paper_names,
        ),
    ],
    manifest: ManifestFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for runs, tables and page.")
    ],
    reduced: Annotated[
        bool, typer.Option("--reduced", help="Run the declared smaller size, which the page tells.")
    ] = False,
    dry_run: DryRun = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Whose published figures stand beside, e.g. vindr-cxr.",
            show_default="the paper's first",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", metavar="N", min=1, help="Fits of each row.", show_default="the paper's"),
    ] = None,
    settings: RowSettings = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    bootstrap: Bootstrap = 2000,
    download_weights: DownloadWeights = False,
    where: Where = None,
    device: Device = "auto",
    cache: CacheDirectory = None,
    quiet: Quiet = False,
) -> None:
    """Run a paper's tables again, with published figures beside.

    With the paper's presets and protocol, on the manifest's rows. What the data do not allow is left out and
    said. The same command goes on where one was stopped. Exit 1 where a run failed.
    """
    from secondread.comparison.compare import How
    from secondread.outputs.run_record import RunRecord
    from secondread.reproduction.reproduce import Reproduction

    record = RunRecord("reproduce", sys.argv)
    rows = read_manifest(manifest, quiet=quiet)
    how = How(device=device, threads=threads, cache=cache, bootstrap=bootstrap)
    made = Reproduction.of(
        name, rows, how=how, reduced=reduced, seeds=seeds, dataset=dataset,
        settings=settings or (), where=where or (),
    )  # fmt: skip
    if download_weights:
        from secondread.fitting.encoder_weights import download_missing_weights

        for planned in made.tables:
            for row in planned.rows:
                download_missing_weights(row.recipe)
    if dry_run:
        for line in made.outline(output, how):
            typer.echo(harmless(line))
        typer.echo("nothing was done (--dry-run)")
        return
    if not quiet:
        for line in made.left_out:
            say(f"note: {line}")
    execute = on_this_machine(jobs=jobs, memory_gb=None, quiet=quiet)
    found = made.run(output, execute, how, progress=not quiet)

    from secondread.reports.comparison import write_comparison
    from secondread.reproduction.writing import write_reproduction

    for key, table in found.items():
        write_comparison(table, output / key, command=sys.argv)
    page = write_reproduction(made, found, output, command=sys.argv)
    missing = {str(run): why for table in found.values() for run, why in table.results.missing.items()}
    record.write(
        output / "run.json",
        digests={"manifest": rows.digest},
        paper=name,
        reduced=reduced,
        left_out=list(made.left_out),
        missing=missing,
    )
    typer.echo(page)
    if missing:
        raise typer.Exit(FINDINGS)
