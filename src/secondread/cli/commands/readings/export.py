"""`secondread export`: readings for other systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.options import Quiet
from secondread.cli.written_results import write_results
from secondread.errors import UserError

FORMATS = ("dicom", "fhir")


@one_line("the same command goes on where this one stopped")
def export(
    readings: Annotated[
        Path, typer.Argument(metavar="READINGS", help="Folder of readings, or its readings.csv.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the results.")],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="What to write: dicom or fhir.")
    ] = "dicom",
    quiet: Quiet = False,
) -> None:
    """Write readings as DICOM objects or FHIR resources.

    DICOM: for each source study a structured report and, where there are maps, segmentations, parametric maps
    and overlays. FHIR: a DiagnosticReport with Observations. The same command goes on where it stopped.
    Exit 1 where some images have no result.
    """
    if to not in FORMATS:
        raise UserError(f"--to {to}: readings are written as {' or '.join(FORMATS)}")
    written = write_results(readings, output, "fhir" if to == "fhir" else "dicom", quiet=quiet)
    typer.echo(written.table)
    if written.failed:
        raise typer.Exit(FINDINGS)
