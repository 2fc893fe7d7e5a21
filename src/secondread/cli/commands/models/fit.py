"""`secondread fit`: a recipe and a manifest become a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import (
    AllowSharedPatients,
    CacheDirectory,
    Device,
    DownloadWeights,
    DryRun,
    Force,
    Loggers,
    ManifestFile,
    Quiet,
    RecipeName,
    RecipeSettings,
    Seed,
    Where,
    Workers,
)
from secondread.cli.promise_lines import say_promise
from secondread.outputs.run_record import RunRecord
from secondread.terminal.say import harmless, say

if TYPE_CHECKING:
    from secondread.cohorts.manifest import Manifest
    from secondread.fitting.checks.first_look import Look
    from secondread.recipes.recipe import Recipe


@one_line("the same command goes on where this one stopped")
def fit(
    recipe: RecipeName,
    manifest: ManifestFile,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the bundle.")],
    settings: RecipeSettings = None,
    dry_run: DryRun = False,
    force: Force = False,
    resume: Annotated[bool, typer.Option("--resume", hidden=True, help="No longer needed.")] = False,
    allow_shared_patients: AllowSharedPatients = False,
    download_weights: DownloadWeights = False,
    loggers: Loggers = None,
    where: Where = None,
    seed: Seed = None,
    device: Device = "auto",
    workers: Workers = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            help="Processes that train independent networks, an ensemble's say; the numbers are the same.",
            show_default="as the cores allow",
        ),
    ] = None,
    cache: CacheDirectory = None,
    quiet: Quiet = False,
) -> None:
    """Learn what normal looks like, and write a bundle.

    It learns from the manifest's training rows alone. What would fail is said before any image is prepared,
    all at once. The same command goes on where one was stopped. While it trains,
    FOLDER.partial/training.html shows its curves. Exit 1 where images could not be read.
    """
    from secondread.recipes.recipe import Recipe, presets
    from secondread.tracking.logger_names import refuse_loggers

    refuse_loggers(loggers or ())

    chosen = Recipe.load(recipe, set=list(settings or ()))
    rows = read_manifest(manifest, where, quiet=quiet)
    source = f"preset {recipe}" if recipe in {preset.name for preset in presets()} else recipe
    if seed is not None:
        chosen = chosen.with_seed(seed)
    if download_weights:
        from secondread.fitting.encoder_weights import download_missing_weights

        download_missing_weights(chosen)
    if dry_run:
        from secondread.fitting.checks.first_look import Look

        look = Look(device, cache, 1 if workers is None else workers, allow_shared_patients, force)
        show_plan(chosen, rows, look, output, source)
        return

    from secondread.fitting.fit import fit as fit_bundle

    record = RunRecord("fit", sys.argv)
    bundle = fit_bundle(
        chosen,
        rows,
        output,
        force=force,
        cache=cache,
        device=device,
        workers=workers,
        processes=processes,
        allow_shared_patients=allow_shared_patients,
        progress=not quiet,
        source=source,
        loggers=loggers or (),
    )

    from secondread.calibration.description import describe
    from secondread.outputs.folders import beside
    from secondread.preprocessing.cache.place import cache_facts
    from secondread.scoring.processes import process_rank

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


def show_plan(recipe: Recipe, rows: Manifest, look: Look, output: Path, source: str) -> None:
    """What the fit would do, on standard output; UserError with all that would fail."""
    from secondread.fitting.checks.first_look import first_look
    from secondread.fitting.checks.problem import refuse
    from secondread.recipes.outside_code import allow_code_of

    allow_code_of(recipe)
    refuse(first_look(recipe, rows, look, out=output, source=source))

    from secondread.fitting.checks.outline import outline

    for line in outline(recipe, rows, look, output, source=source):
        typer.echo(harmless(line))
    typer.echo("nothing was done (--dry-run)")
