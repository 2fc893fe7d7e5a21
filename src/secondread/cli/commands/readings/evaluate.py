"""`secondread evaluate`: readings meet labels, and a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from secondread.cli.failures import one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import (
    MOST_SEED,
    Bootstrap,
    Quiet,
    Where,
)
from secondread.terminal.say import say


@one_line("run the same command again")
def evaluate(
    readings: Annotated[
        Path, typer.Argument(metavar="READINGS", help="The readings.csv that `score` wrote.")
    ],
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest (CSV) with labels.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the report.")],
    prevalence: Annotated[
        float | None,
        typer.Option(
            "--prevalence",
            metavar="SHARE",
            help="Share of abnormal studies in use, above 0 and below 1; adds PPV and NPV.",
        ),
    ] = None,
    bootstrap: Bootstrap = 2000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed of the bootstrap.")] = 0,
    where: Where = None,
    quiet: Quiet = False,
) -> None:
    """Compare readings with labels, and write a report.

    Only test rows count. It writes metrics.json, report.html and figures.
    """
    from secondread.evaluation.evaluate import evaluate as evaluate_readings
    from secondread.outputs.folders import RECORD, output_folder
    from secondread.outputs.run_record import RunRecord
    from secondread.reports.report import write_report

    record = RunRecord("evaluate", sys.argv)
    rows = read_manifest(manifest, quiet=quiet)
    with output_folder(output, "evaluate"):
        evaluation = evaluate_readings(
            readings, rows, prevalence=prevalence, seed=seed, bootstrap=bootstrap, where=tuple(where or ())
        )
        facts = {"seed": seed, "digests": {"manifest": rows.digest}, "readings": str(readings.absolute())}
        record.write(output / RECORD, **facts, finished=False)
        report = write_report(evaluation, output, command=sys.argv)
        metrics = evaluation.metrics()
        record.write(output / RECORD, finished=True)
    if not quiet:
        say(summary(metrics))
    typer.echo(report)


def summary(metrics: dict[str, Any]) -> str:
    """The main figures in a few lines."""
    counts = metrics["n"]
    lines = [f"{counts['normal']} normal, {counts['abnormal']} abnormal, {counts['failed']} failed"]
    for name in ("auroc", "average_precision", "sensitivity", "specificity", "f1", "accuracy"):
        value = metrics.get(name)
        if value is not None:
            interval = metrics.get(f"{name}_interval")
            spread = f"  ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
            lines.append(f"{name.replace('_', ' '):<20} {value:.3f}{spread}")
    for name, value in (metrics.get("baselines") or {}).items():
        figure = value.get("auroc") if isinstance(value, dict) else value
        if isinstance(figure, int | float):
            lines.append(f"{'baseline ' + name.replace('_', ' '):<32} {figure:.3f}")
    return "\n".join(lines)
