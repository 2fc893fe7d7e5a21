"""`secondread recipes`: the presets, or one of them as YAML."""

from __future__ import annotations

from typing import Annotated

import typer

from secondread.cli.failures import one_line


@one_line("run the same command again")
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this preset (or recipe file) as YAML.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, e.g. detector.alpha=0.3.")
    ] = None,
) -> None:
    """List the presets with paper, needs, ranks and state; with NAME, print one as YAML."""
    from secondread.recipes.recipe import Recipe, presets

    if name is not None:
        typer.echo(Recipe.load(name, set=list(settings or ())).to_yaml(), nl=False)
        return
    for preset in presets():
        about = preset.about
        ranks = ", ".join(f"{rank}-D" for rank in preset.ranks)
        typer.echo(f"{preset.name}: {about.title}")
        typer.echo(f"    {about.paper or 'no paper'}; needs {', '.join(about.needs)}; {ranks}; {about.state}")
