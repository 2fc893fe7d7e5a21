"""The command line. Each command imports what it needs only when it runs, so that help is quick."""

from __future__ import annotations

import typer

from secondread import __version__
from secondread.cli.anomalies import anomalies
from secondread.cli.calibrate import calibrate
from secondread.cli.check import check
from secondread.cli.compare import compare
from secondread.cli.demo import demo
from secondread.cli.doctor import doctor
from secondread.cli.evaluate import evaluate
from secondread.cli.fit import fit
from secondread.cli.index import index
from secondread.cli.recipes import recipes
from secondread.cli.sample import sample
from secondread.cli.score import score
from secondread.cli.split import split
from secondread.private import private

app = typer.Typer(
    name="secondread",
    help="A second reader for medical images: learns normal, ranks what is abnormal, shows where, and says "
    "how often it would be wrong. Research use, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    index,
    split,
    check,
    fit,
    score,
    calibrate,
    evaluate,
    compare,
    sample,
    anomalies,
    recipes,
    doctor,
):
    app.command()(command)


def show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"secondread {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    context.with_resource(private())
