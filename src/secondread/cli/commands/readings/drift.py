"""`secondread drift`: whether what was read is still what was calibrated for."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.options import MOST_SEED, Quiet
from secondread.terminal.say import say
from secondread.wording.numbers import count

if TYPE_CHECKING:
    from secondread.drift.of_readings import Drift


@one_line("run the same command again")
def drift(
    readings: Annotated[
        Path,
        typer.Argument(
            metavar="READINGS", help="Folder of readings that `score` wrote, in the order of time."
        ),
    ],
    bundle: Annotated[Path, typer.Option("--bundle", metavar="BUNDLE", help="The bundle that read them.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Folder for drift.json, its table and chart."),
    ],
    false_alarms_per_year: Annotated[
        float,
        typer.Option("--false-alarms-per-year", metavar="NUMBER", help="Promised of all alarms together."),
    ] = 1.0,
    studies_per_year: Annotated[
        float, typer.Option("--studies-per-year", metavar="NUMBER", help="How many studies come in a year.")
    ] = 5000.0,
    reference: Annotated[
        Literal["calibration", "own"],
        typer.Option(
            "--reference",
            help="Compare normals with the calibration's, or studies of all kinds with their own first.",
        ),
    ] = "calibration",
    prevalence: Annotated[
        float | None,
        typer.Option(
            "--prevalence",
            metavar="SHARE",
            help="Share of abnormal studies at most; watches flags.",
            show_default="flags are not watched",
        ),
    ] = None,
    scanner: Annotated[
        list[str] | None,
        typer.Option(
            "--scanner",
            metavar="FACT",
            help="Acquisition fact that tells scanners apart; none: one stream.",
            show_default="manufacturer and model",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed that breaks ties.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Watch readings for drift: scores, acquisition and pictures.

    It goes through them in their order, a stream for each scanner. Exit 1 where something alarms.
    """
    from secondread.drift.chart import write_chart
    from secondread.drift.of_readings import SCANNER, watch_readings
    from secondread.drift.write import write_drift
    from secondread.outputs.folders import RECORD, output_folder
    from secondread.outputs.run_record import RunRecord

    record = RunRecord("drift", sys.argv)
    chosen = SCANNER if scanner is None else tuple(name for name in scanner if name != "none")
    with output_folder(output, "drift"):
        found = watch_readings(
            readings,
            bundle,
            false_alarms_per_year=false_alarms_per_year,
            studies_per_year=studies_per_year,
            reference=reference,
            prevalence=prevalence,
            scanner=chosen,
            seed=seed,
        )
        record.write(output / RECORD, seed=seed, readings=str(readings.absolute()), finished=False)
        write_drift(found, output)
        write_chart(found.streams, output / "drift.png")
        record.write(output / RECORD, seed=seed, readings=str(readings.absolute()), finished=True)
    if not quiet:
        say("\n".join(lines(found)))
    typer.echo(output / "drift.json")
    if found.alarms:
        raise typer.Exit(FINDINGS)


def lines(found: Drift) -> list[str]:
    """What a person reads: each kind of alarm once, and what to do."""
    from secondread.drift.told import remedy, sentence

    told = [f"{many} not watched: {why}" for why, many in found.left_out.items()]
    for stream in found.streams:
        studies = count(stream.watch.studies, "study", "studies")
        told.append(f"{stream.scanner}: {studies}, {count(len(stream.changes), 'alarm')}")
        kinds = Counter((change.watcher, change.kind) for change in stream.changes)
        for change in stream.changes:
            if again := kinds.pop((change.watcher, change.kind), 0):
                more = f", and {count(again - 1, 'time', 'times')} more" if again > 1 else ""
                told.append(f"  {change.watcher}: {sentence(change)}{more}")
        told += [
            f"  {advice}" for advice in dict.fromkeys(remedy(one, found.bundle) for one in stream.changes)
        ]
    return told
