"""`secondread fit`: a recipe and a manifest become a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import (
    AllowSharedPatients,
    CacheDirectory,
    Device,
    ManifestFile,
    Quiet,
    RecipeName,
    RecipeSettings,
    Seed,
    Where,
    Workers,
)
from secondread.cli.promise_lines import say_promise
from secondread.terminal.say import say


@one_line("continue with the same command and --resume")
def fit(
    recipe: RecipeName,
    manifest: ManifestFile,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the bundle.")],
    settings: RecipeSettings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a fit that was stopped.")] = False,
    allow_shared_patients: AllowSharedPatients = False,
    download_weights: Annotated[
        bool,
        typer.Option(
            "--download-weights", help="Fetch missing encoder weights from the Hugging Face hub (network)."
        ),
    ] = False,
    where: Where = None,
    seed: Seed = None,
    device: Device = "auto",
    workers: Workers = None,
    cache: CacheDirectory = None,
    quiet: Quiet = False,
) -> None:
    """Learn what normal looks like, and write a bundle.

    It learns from the manifest's training rows alone. Exit 1 where images could not be read.
    """
    from secondread.calibration.description import describe
    from secondread.recipes.recipe import Recipe, presets

    chosen = Recipe.load(recipe, set=list(settings or ()))
    rows = read_manifest(manifest, where, quiet=quiet)

    from secondread.fitting.encoder_weights import with_downloaded_weights
    from secondread.fitting.fit import fit as fit_bundle
    from secondread.outputs.folders import beside
    from secondread.outputs.run_record import RunRecord
    from secondread.preprocessing.cache.place import cache_facts
    from secondread.scoring.processes import process_rank

    record = RunRecord("fit", sys.argv)
    if download_weights:
        chosen = with_downloaded_weights(chosen)
    bundle = fit_bundle(
        chosen,
        rows,
        output,
        resume=resume,
        cache=cache,
        device=device,
        workers=workers,
        seed=seed,
        allow_shared_patients=allow_shared_patients,
        progress=not quiet,
        source=f"preset {recipe}" if recipe in {preset.name for preset in presets()} else recipe,
    )
    unreadable = bundle.provenance.unreadable
    if process_rank() == 0:
        facts = describe(bundle.calibration)
        record.write(
            beside(output),
            seed=bundle.provenance.seed,
            digests={"manifest": rows.digest, "bundle": bundle.digest},
            durations=bundle.provenance.seconds,
            manifest=str(manifest.absolute()),
            recipe=recipe,
            cohorts=bundle.provenance.cohorts,
            taken_for_normal=bundle.provenance.taken_for_normal,
            unreadable=unreadable,
            calibration=facts,
            training=bundle.provenance.training,
            cache=cache_facts(cache),
        )
        if not quiet:
            say_promise(facts)
            if unreadable:
                lost = ", ".join(f"{count} of cohort {cohort!r}" for cohort, count in unreadable.items())
                say(f"left out, as they cannot be read: {lost}; `check` lists them")
        typer.echo(output)
    if unreadable:
        raise typer.Exit(FINDINGS)
