"""`secondread transfer`: fit at one site, test at another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import (
    MOST_SEED,
    Bootstrap,
    CacheDirectory,
    Device,
    ManifestFile,
    Quiet,
    RecipeName,
    RecipeSettings,
    Workers,
)
from secondread.terminal.say import say


@one_line("run the same command again")
def transfer(
    recipe: RecipeName,
    manifest: ManifestFile,
    train: Annotated[
        list[str],
        typer.Option("--train", metavar="CONDITION", help="Rows of the training site, e.g. site=A."),
    ],
    test: Annotated[
        list[str], typer.Option("--test", metavar="CONDITION", help="Rows of the other site, e.g. site=B.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for all of it.")],
    settings: RecipeSettings = None,
    held_apart: Annotated[
        float,
        typer.Option(
            "--held-apart",
            metavar="SHARE",
            help="Share of the other site's normal patients that calibrate there and are not judged, where "
            "it has no normals outside split test.",
        ),
    ] = 0.5,
    bootstrap: Bootstrap = 2000,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, max=MOST_SEED, help="Seed of fit, draw and bootstrap."),
    ] = 0,
    device: Device = "auto",
    workers: Workers = None,
    cache: CacheDirectory = None,
    quiet: Quiet = False,
) -> None:
    """Fit at one site, test at another, and measure the shift.

    The bundle is judged at home and away, and away again after a new calibration with that site's own
    normals. The same command again goes on where it stopped. Sites that share a patient are refused.
    """
    from secondread.outputs.folders import RECORD, output_folder
    from secondread.outputs.run_record import RunRecord
    from secondread.recipes.recipe import Recipe
    from secondread.reports.transfer import write_transfer
    from secondread.transferring.sites import choose_sites
    from secondread.transferring.transfer import transfer as transfer_bundle

    record = RunRecord("transfer", sys.argv)
    chosen = Recipe.load(recipe, set=list(settings or ()))
    rows = read_manifest(manifest, quiet=quiet)
    choose_sites(rows, train, test, held_apart=held_apart, seed=seed)
    with output_folder(output, "transfer"):
        facts = {"seed": seed, "digests": {"manifest": rows.digest}, "recipe": recipe}
        record.write(output / RECORD, **facts, finished=False)
        shift = transfer_bundle(
            chosen,
            rows,
            output,
            train=train,
            test=test,
            held_apart=held_apart,
            seed=seed,
            bootstrap=bootstrap,
            cache=cache,
            device=device,
            workers=workers,
            progress=not quiet,
        )
        report = write_transfer(shift, output, command=sys.argv)
        record.write(output / RECORD, finished=True)
    if not quiet:
        for sentence in shift.sentences:
            say(sentence)
    typer.echo(report)
