"""`secondread split`: patient-wise splits or folds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import Force, ManifestFile, Quiet, Where
from secondread.cli.table_output import TableOutput
from secondread.terminal.say import say


@one_line("run the same command again")
def split(
    manifest: ManifestFile,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest to write (CSV).")],
    test: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of images for test; unused with --folds.")
    ] = 0.2,
    validation: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of images for validation; unused with --folds."),
    ] = 0.0,
    folds: Annotated[
        int | None, typer.Option(metavar="N", help="Folds instead of one split (column `fold`).")
    ] = None,
    stratify: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Columns to spread alike.", show_default="label"),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Replace a split that is there.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed.")] = 0,
    where: Where = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Split a manifest by patient into parts or folds.

    The parts are train, validation and test. No patient stands in two of them.
    """
    from collections import Counter

    from secondread.cohorts.manifest_writing import write_manifest
    from secondread.cohorts.row import PackedRows, counts_alone
    from secondread.cohorts.split import split as split_manifest

    place = TableOutput("split", output, ("path",), "manifest", manifest, force=force)
    source = read_manifest(manifest, where, quiet=quiet)
    result = split_manifest(
        source,
        seed=seed,
        test=test,
        validation=validation,
        folds=folds,
        stratify=tuple(stratify or ("label",)),
        again=again,
    )
    written = write_manifest(output, lambda: result.rows, result.base)
    column = "split" if folds is None else "fold"
    rows = PackedRows.of(result.rows)
    counts = Counter(
        (part or "none", label or "unlabelled")
        for part, label in zip(rows.column(column), rows.column("label"), strict=True)
    )
    without = 0 if all(rows.column("patient_id")) else sum(map(counts_alone, rows))
    place.written(
        seed=seed,
        digests={"manifest": source.digest, "result": written.digest},
        rows=written.rows,
        without_patient=without,
    )
    if not quiet:
        if without:
            say(
                f"note: {without} of {written.rows} images have neither patient id nor study id (columns "
                "patient_id, study_id): each counts as its own patient, and one patient may stand in several "
                "parts"
            )
        for (part, label), count in sorted(counts.items()):
            say(f"{part:>12}  {label:<12} {count:6}")
    typer.echo(output)
