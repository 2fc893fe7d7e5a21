"""The command line. Each command imports what it needs only when it runs, so that help is quick."""

from __future__ import annotations

import typer

from secondread.cli.commands.comparing.compare import compare
from secondread.cli.commands.comparing.power import power
from secondread.cli.commands.comparing.reproduce import reproduce
from secondread.cli.commands.comparing.transfer import transfer
from secondread.cli.commands.data.check import check
from secondread.cli.commands.data.dataset import dataset
from secondread.cli.commands.data.index import index
from secondread.cli.commands.data.split import split
from secondread.cli.commands.machine.demo import demo
from secondread.cli.commands.machine.doctor import doctor
from secondread.cli.commands.models import bundle
from secondread.cli.commands.models.anomalies import anomalies
from secondread.cli.commands.models.calibrate import calibrate
from secondread.cli.commands.models.fit import fit
from secondread.cli.commands.models.recipes import recipes
from secondread.cli.commands.models.sample import sample
from secondread.cli.commands.models.threshold import threshold
from secondread.cli.commands.models.tune import tune
from secondread.cli.commands.readings.drift import drift
from secondread.cli.commands.readings.evaluate import evaluate
from secondread.cli.commands.readings.export import export
from secondread.cli.commands.readings.score import score
from secondread.cli.commands.readings.worklist import worklist
from secondread.cli.commands.service.group import service
from secondread.cli.commands.service.serve import serve
from secondread.cli.help_pages import add_command
from secondread.outputs.private import private
from secondread.version import __version__

app = typer.Typer(
    name="secondread",
    help="A second reader for medical images: learns normal, ranks what is abnormal, shows where, and says "
    "how often it would be wrong. Research use, not a medical device.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    index,
    dataset,
    split,
    check,
    fit,
    score,
    calibrate,
    threshold,
    worklist,
    evaluate,
    drift,
    export,
    compare,
    tune,
    transfer,
    reproduce,
    sample,
    anomalies,
    power,
    recipes,
    doctor,
    serve,
):
    add_command(app, command)
handing_over = typer.Typer(
    name="bundle",
    help="Show a bundle, pack it, and hand it over.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for part in (bundle.show, bundle.pack, bundle.unpack, bundle.push, bundle.pull):
    add_command(handing_over, part)
app.add_typer(handing_over)
app.add_typer(service)


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
