"""`secondread export`: a bundle or readings for other systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.options import AllowCode, Force, Quiet, Workers
from secondread.cli.written_bundle import is_bundle, write_bundle
from secondread.cli.written_results import write_results
from secondread.errors import UserError

FORMATS = ("onnx", "dicom", "fhir")


@one_line("the same command goes on where this one stopped")
def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Fitted bundle, or folder of readings (or its readings.csv)."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the results.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="What to write: onnx, dicom or fhir.",
            show_default="onnx of a bundle, dicom of readings",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="MANIFEST",
            help="onnx: also compare with the bundle on this manifest's normals, from file to flag.",
            show_default="only made images are compared",
        ),
    ] = None,
    workers: Workers = None,
    allow_code: AllowCode = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a bundle as ONNX, or readings as DICOM or FHIR.

    ONNX: graphs, arrays and JSON, which `score` takes in place of the bundle, without torch. DICOM: for each
    source study a structured report and, where there are maps, segmentations, parametric maps and overlays.
    FHIR: a DiagnosticReport with Observations; for both, the same command goes on where it stopped. Exit 1
    where some images have no result, or could not be read to check with.
    """
    fitted = is_bundle(source)
    chosen = to or ("onnx" if fitted else "dicom")
    if chosen not in FORMATS:
        raise UserError(f"--to {chosen}: a bundle is written as onnx, readings as dicom or fhir")
    if fitted and chosen != "onnx":
        raise UserError(f"{source}: is a bundle, which is written as onnx; for {chosen} give readings")
    if (source / "export.json").is_file():
        raise UserError(f"{source}: is an exported bundle already, which `score` takes")
    if not fitted and not (source.is_file() or (source / "readings.csv").is_file()):
        raise UserError(
            f"{source}: neither a bundle nor readings (no bundle.json, no readings.csv); give the folder "
            "that `fit -o` or `score -o` wrote"
        )
    if chosen == "onnx" and not fitted:
        raise UserError(f"{source}: is no bundle, and readings are written as dicom or fhir")
    if chosen == "onnx":
        all_read = write_bundle(
            source, output, check=check, workers=workers, allow=allow_code or (), force=force, quiet=quiet
        )
        typer.echo(output)
        if not all_read:
            raise typer.Exit(FINDINGS)
        return
    if check is not None or force:
        raise UserError(f"{'--check' if check else '--force'} is for bundles, and {source} holds readings")
    written = write_results(source, output, "fhir" if chosen == "fhir" else "dicom", quiet=quiet)
    typer.echo(written.table)
    if written.failed:
        raise typer.Exit(FINDINGS)
