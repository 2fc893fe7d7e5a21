"""`secondread recipes`: the presets, one of them as YAML, or those to start with on a manifest."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.completion import recipe_names
from secondread.cli.failures import one_line
from secondread.cli.options import RecipeSettings
from secondread.errors import UserError


@one_line("run the same command again")
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE", help="Print this preset or recipe file as YAML.", autocompletion=recipe_names
        ),
    ] = None,
    settings: RecipeSettings = None,
    suggested_for: Annotated[
        Path | None,
        typer.Option("--suggest", metavar="MANIFEST", help="Say which to start with on this manifest."),
    ] = None,
) -> None:
    """List the presets, print one, or say which to start with.

    The list has each preset's paper, needs, ranks and state. With RECIPE one is printed as YAML; with
    --suggest those to start with on a manifest are named.
    """
    from secondread.recipes.recipe import Recipe, presets

    if suggested_for is not None:
        if name is not None or settings:
            raise UserError("--suggest takes no recipe and no --set; leave them out")
        _suggest(suggested_for)
        return
    if name is not None:
        typer.echo(Recipe.load(name, set=list(settings or ())).to_yaml(), nl=False)
        return
    for preset in presets():
        about = preset.about
        ranks = ", ".join(f"{rank}-D" for rank in preset.ranks)
        typer.echo(f"{preset.name}: {about.title}")
        typer.echo(f"    {about.paper or 'no paper'}; needs {', '.join(about.needs)}; {ranks}; {about.state}")


def _suggest(path: Path) -> None:
    """The commands to start with, each with its reason and cost."""
    from secondread.recipes.suggest import suggest

    suggested = suggest(path)
    typer.echo(f"{path}: {suggested.found}")
    for number, suggestion in enumerate(suggested.suggestions, start=1):
        words = ["secondread", "fit", suggestion.recipe, str(path), "-o", f"bundle-{number}"]
        words += [word for setting in suggestion.settings for word in ("--set", setting)]
        typer.echo(f"\n{shlex.join(words)}\n    {suggestion.reason} Cost: {suggestion.cost}.")
    if suggested.notes:
        typer.echo("")
    for note in suggested.notes:
        typer.echo(f"note: {note}")
