"""`secondread demo`: the main job end to end, on phantoms made on the spot or on a manifest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.completion import recipe_names
from secondread.cli.failures import one_line
from secondread.cli.options import MOST_SEED, Device, Quiet, RecipeSettings, Workers
from secondread.terminal.say import say


@one_line("the same command starts again from the beginning")
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for everything.")
    ] = Path("secondread-demo"),
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="MANIFEST", help="A manifest of real images instead of phantoms."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(metavar="RECIPE", help="Preset or YAML file.", autocompletion=recipe_names)
    ] = "aeflow-conv",
    settings: RecipeSettings = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed of phantoms and fit.")
    ] = 0,
    device: Device = "auto",
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Do it all once on drawn images: fit, score, evaluate, report.

    Works offline. The last line is the report's path. The same command starts again from the beginning.
    """
    from secondread.cli.commands.machine.demo_steps import demonstrate

    def tell(line: str) -> None:
        if not quiet:
            say(line)

    report = demonstrate(
        output,
        data=data,
        recipe=recipe,
        settings=list(settings or ()),
        seed=seed,
        device=device,
        workers=workers,
        command=sys.argv,
        say=tell,
        progress=not quiet,
    )
    typer.echo(report)
