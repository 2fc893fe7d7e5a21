"""`secondread anomalies`: what synthetic anomalies look like in one's own training images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.completion import anomaly_names, recipe_names
from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import CacheDirectory, ManifestFile, Quiet, RecipeSettings, Seed, Where, Workers
from secondread.terminal.say import say


@one_line("run the same command again")
def anomalies(
    manifest: ManifestFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the page and the sheet.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="NAME",
            help="fpi, cutpaste, draem or another kind, or module:Class of your own.",
            show_default="those that the recipe's detector learns from, else fpi",
            autocompletion=anomaly_names,
        ),
    ] = None,
    number: Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="Images shown.")] = 12,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            autocompletion=recipe_names,
            help="Preset or YAML file whose preprocessing, cohorts and foreground are used.",
        ),
    ] = "spectrum",
    drawn: Annotated[
        list[str] | None,
        typer.Option("--anomaly", metavar="KEY=VALUE", help="Change the anomalies, e.g. target=alpha."),
    ] = None,
    settings: RecipeSettings = None,
    where: Where = None,
    seed: Seed = None,
    workers: Workers = None,
    cache: CacheDirectory = None,
    quiet: Quiet = False,
) -> None:
    """Show synthetic anomalies in your own training images.

    Each image stands before and after, with the target that a detector learns from. Exit 1 where images could
    not be read.
    """
    from secondread.anomalies import ANOMALIES
    from secondread.anomalies.build import build_anomalies
    from secondread.images.workers.cores import available_cores
    from secondread.outputs.folders import RECORD, output_folder
    from secondread.outputs.run_record import RunRecord
    from secondread.preprocessing.cache.limit import settle
    from secondread.preprocessing.cache.place import open_cache
    from secondread.previews.anomaly_preview import drawn_anomalies, preview_anomalies
    from secondread.recipes.recipe import Recipe, with_assignments
    from secondread.registry.outside import allow, is_place
    from secondread.reports.anomalies import write_anomalies_page

    record = RunRecord("anomalies", sys.argv)
    allow([kind] if kind is not None and is_place(kind) else [])
    changes, late = _recipe_and_anomalies(settings or (), shown=not quiet)
    chosen = Recipe.load(recipe, set=changes)
    own, foreground = drawn_anomalies(chosen, source=recipe) or ({"name": "fpi"}, None)
    given = own if kind is None else {"name": kind}
    ANOMALIES.chosen(given["name"], "--kind")
    make = build_anomalies(with_assignments(given, [*late, *(drawn or ())]), f"anomalies {given['name']}")
    chosen = chosen if seed is None else chosen.with_seed(seed)
    rows = read_manifest(manifest, where, quiet=quiet)
    kept = open_cache(cache)
    with output_folder(output, "anomalies"):
        preview = preview_anomalies(
            chosen,
            rows,
            make,
            n=number,
            foreground=foreground,
            cache=kept,
            workers=available_cores() if workers is None else workers,
            shown=not quiet,
        )
        settle(kept)
        record.write(
            output / RECORD,
            seed=chosen.seed,
            digests={"manifest": rows.digest},
            manifest=str(manifest.absolute()),
            recipe=recipe,
            anomalies=make.settings.model_dump(mode="json"),
            images=[image.path for image in preview.images],
            unreadable=len(preview.errors),
            finished=False,
        )
        page = write_anomalies_page(preview, output, command=sys.argv)
        record.write(output / RECORD, finished=True)
    if not quiet and len(preview.images) < number:
        say(f"{len(preview.images)} of {number} images are there to show")
    typer.echo(page)
    if preview.errors:
        raise typer.Exit(FINDINGS)


def _recipe_and_anomalies(settings: Sequence[str], *, shown: bool) -> tuple[list[str], list[str]]:
    """Assignments to the recipe, and those to the anomalies, which `--set` was for in version 0.1."""
    from secondread.recipes.recipe import Recipe

    recipe: list[str] = []
    anomalies: list[str] = []
    for setting in settings:
        section = setting.partition("=")[0].partition(".")[0]
        (recipe if section in Recipe.model_fields else anomalies).append(setting)
    for setting in anomalies:
        say(f"note: --set {setting} is taken as --anomaly {setting}; --set is for the recipe", shown=shown)
    return recipe, anomalies
