"""`secondread tune`: settings of a recipe, searched without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import (
    CacheDirectory,
    Device,
    ManifestFile,
    Quiet,
    RecipeName,
    RecipeSettings,
    Where,
)


@one_line("the same command goes on where this one stopped")
def tune(
    recipe: RecipeName,
    manifest: ManifestFile,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary", metavar="KEY=VALUES", help="What to vary: KEY=LOW..HIGH or KEY=A,B,C; may be repeated."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for trials and result.")
    ],
    trials: Annotated[int, typer.Option("--trials", metavar="N", min=1, help="Trials in all.")] = 20,
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="synthetic: drawn anomalies told from held-out normals; held-out: their loss, where "
            "training alone is varied.",
        ),
    ] = "synthetic",
    anomalies: Annotated[
        list[str] | None,
        typer.Option(
            "--anomalies",
            metavar="KIND",
            help="Kind of drawn anomalies; may be repeated.",
            show_default="fpi, cutpaste and nsa",
        ),
    ] = None,
    settings: RecipeSettings = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the search.")] = 0,
    where: Where = None,
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=0, help="Processes that read images; 0 = this one.")
    ] = 1,
    cache: CacheDirectory = None,
    quiet: Quiet = False,
) -> None:
    """Search settings of a recipe without labels, and write the best.

    Every trial is a fit on the rows outside split test. best.yaml is the recipe with the best settings,
    trials.csv all trials, tune.html the page with the figure. The same command with more trials goes on. It
    needs Optuna.
    """
    from secondread.recipes.recipe import Recipe

    chosen = Recipe.load(recipe, set=list(settings or ()))
    rows = read_manifest(manifest, where, quiet=quiet)

    from secondread.tuning.objectives import KINDS
    from secondread.tuning.tune import tune as search

    found = search(
        chosen,
        rows,
        vary,
        output,
        trials=trials,
        objective=objective,
        anomalies=tuple(anomalies or KINDS),
        seed=seed,
        cache=cache,
        device=device,
        workers=workers,
        progress=not quiet,
    )
    typer.echo(found.folder / "best.yaml")
