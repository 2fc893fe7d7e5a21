"""`secondread compare`: many methods, one table."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.completion import recipe_names
from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import (
    Bootstrap,
    CacheDirectory,
    Device,
    DownloadWeights,
    DryRun,
    Jobs,
    Loggers,
    Quiet,
    RowSettings,
    Threads,
    Where,
)
from secondread.terminal.say import harmless, say

if TYPE_CHECKING:
    from secondread.comparison.compare import Execute, How
    from secondread.comparison.judging.table import Table
    from secondread.comparison.running.plan import Plan


@one_line("the same command goes on where this one stopped")
def compare(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="Manifest (CSV) with a split and labelled test rows.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for runs, tables and report.")
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE...", help="More recipes.", show_default=False, autocompletion=recipe_names
        ),
    ] = None,
    recipes: Annotated[
        list[str] | None,
        typer.Option(
            "--recipes",
            metavar="RECIPE",
            autocompletion=recipe_names,
            help="Presets or YAML files, one after another; NAME=RECIPE gives a row another name.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", metavar="N", min=1, help="Fits of each, with seeds 0 to N-1.", show_default="3"
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="The row that the others are tested against.",
            show_default="the first",
        ),
    ] = None,
    settings: RowSettings = None,
    contamination: Annotated[
        str,
        typer.Option(
            "--contamination",
            metavar="SHARES",
            help="Fit again with such shares of the normals being abnormal, e.g. 0.01,0.05,0.1.",
        ),
    ] = "",
    published: Annotated[
        str | None,
        typer.Option(
            "--published",
            metavar="NAME",
            help="Show published numbers on this data set, apart, e.g. kermany-cxr.",
        ),
    ] = None,
    maps: Annotated[
        bool | None,
        typer.Option(
            "--maps/--no-maps", help="Write and judge maps.", show_default="where test rows have masks"
        ),
    ] = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            metavar="GB",
            min=0.1,
            help="Gigabytes that all runs together may take.",
            show_default="80 % of what is free",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="Address of a Ray cluster, or local. Needs Ray."),
    ] = None,
    tabulate: Annotated[
        bool, typer.Option("--tabulate", help="No runs: the table of those that are finished.")
    ] = False,
    dry_run: DryRun = False,
    download_weights: DownloadWeights = False,
    bootstrap: Bootstrap = 2000,
    loggers: Loggers = None,
    where: Where = None,
    device: Device = "auto",
    cache: CacheDirectory = None,
    quiet: Quiet = False,
) -> None:
    """Fit and judge many recipes alike, and write one table.

    It is written as results.csv, table.md, table.tex and report.html. Trivial baselines are added. The
    same command goes on where it stopped; without --recipes with what it was begun with. Exit 1 where a
    run failed.
    """
    from secondread.comparison.compare import How, run_plan
    from secondread.comparison.running.plan import Plan
    from secondread.comparison.running.plan_document import FILE
    from secondread.comparison.writing.published import published as published_rows
    from secondread.errors import UserError
    from secondread.outputs.run_record import RunRecord
    from secondread.tracking.logger_names import refuse_loggers

    refuse_loggers(loggers or ())
    record = RunRecord("compare", sys.argv)
    references = published_rows(published) if published else ()
    rows = read_manifest(manifest, quiet=quiet)
    if tabulate and not (output / FILE).is_file():
        raise UserError(f"{output}: holds no comparison; give its folder with -o")
    plan = Plan.of(
        rows,
        [*(recipes or ()), *(more or ())],
        seeds=None if seeds is None else range(seeds),
        reference=reference,
        settings=settings or (),
        contamination=shares(contamination),
        maps=maps,
        where=where or (),
        earlier=Plan.read(output, rows) if (output / FILE).is_file() else None,
    )
    how = How(
        device=device,
        threads=threads,
        cache=cache,
        bootstrap=bootstrap,
        elsewhere=ray is not None,
        loggers=tuple(loggers or ()),
    )
    if download_weights:
        from secondread.fitting.encoder_weights import download_missing_weights

        for method in plan.methods:
            download_missing_weights(method.recipe)
    if dry_run:
        show_plan(plan, output, how)
        return
    if tabulate:
        execute = None
    elif ray is not None:
        execute = on_ray(ray, threads=threads, quiet=quiet)
    else:
        execute = on_this_machine(jobs=jobs, memory_gb=memory, quiet=quiet)
    table = run_plan(plan, output, execute, how)

    from secondread.reports.comparison import write_comparison

    report = write_comparison(table, output, published=references, command=sys.argv)
    record.write(
        output / "run.json",
        digests={"manifest": table.results.plan.manifest.digest},
        seeds=list(table.results.plan.seeds),
        missing={str(run): why for run, why in table.results.missing.items()},
    )
    if not quiet:
        show(table)
    typer.echo(report)
    if table.results.missing:
        raise typer.Exit(FINDINGS)


def show_plan(plan: Plan, output: Path, how: How) -> None:
    """What the comparison would do, on standard output; UserError with all that would fail."""
    from secondread.comparison.running.checks import outline_of, refuse_what_cannot_run
    from secondread.outputs.folders import refuse_other_folder

    refuse_other_folder(output, "compare")
    whole = plan.within(output)
    refuse_what_cannot_run(whole, how.look, output)
    for line in outline_of(whole, how.look, output):
        typer.echo(harmless(line))
    for name, settings in plan.changed(output).items():
        typer.echo(harmless(f"{name} has other settings now ({settings}) and would run again"))
    typer.echo("nothing was done (--dry-run)")


def shares(text: str) -> tuple[float, ...]:
    """`0.01,0.05` as numbers."""
    from secondread.errors import UserError

    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UserError(f"--contamination {text}: give shares such as 0.01,0.05,0.1") from None


def on_ray(address: str, *, threads: int, quiet: bool) -> Execute:
    """Runs as tasks of a Ray cluster."""
    from secondread.comparison.running.ray_cluster import run_on_ray
    from secondread.comparison.running.task_display import showing

    return partial(run_on_ray, address=address, threads=threads, show=showing(not quiet))


def on_this_machine(*, jobs: int | None, memory_gb: float | None, quiet: bool) -> Execute:
    """Runs as processes of this machine, as many at once as are asked for or fit."""
    from secondread.comparison.running.local import run_locally
    from secondread.comparison.running.task_display import showing

    budget = None if memory_gb is None else int(memory_gb * 1e9)
    return partial(run_locally, jobs=jobs, memory_bytes=budget, show=showing(not quiet))


def show(table: Table) -> None:
    """The table in short, for the screen."""
    for row in table.rows:
        spread = "" if row.auroc.deviation is None else f" ± {row.auroc.deviation:.3f}"
        low, high = row.auroc_interval
        say(f"{row.name:<28} {row.auroc.mean:.3f}{spread}  ({low:.3f} to {high:.3f})")
    for note in table.notes:
        say(f"note: {note}")
