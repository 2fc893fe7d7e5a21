"""The command line. Each command imports what it needs only when it runs, so that help is quick; where one is
asked for, it alone is imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer

from secondread.cli.help_pages import add_command
from secondread.outputs.private import private
from secondread.version import __version__

COMMANDS = {
    "demo": "machine.demo",
    "index": "data.index",
    "dataset": "data.dataset",
    "split": "data.split",
    "check": "data.check",
    "fit": "models.fit",
    "score": "readings.score",
    "calibrate": "models.calibrate",
    "threshold": "models.threshold",
    "worklist": "readings.worklist",
    "evaluate": "readings.evaluate",
    "drift": "readings.drift",
    "export": "readings.export",
    "compare": "comparing.compare",
    "tune": "models.tune",
    "transfer": "comparing.transfer",
    "reproduce": "comparing.reproduce",
    "sample": "models.sample",
    "anomalies": "models.anomalies",
    "power": "comparing.power",
    "recipes": "models.recipes",
    "doctor": "machine.doctor",
    "serve": "service.serve",
}
"""Where each command is defined, under `cli.commands`, in the order of the help page."""


def application(asked: str | None = None) -> typer.Typer:
    """The program with all its commands; where `asked` is one of them, with that one alone, which it runs and
    refuses alike."""
    app = typer.Typer(
        name="secondread",
        help="A second reader for medical images: learns normal, ranks what is abnormal, shows where, and "
        "says how often it would be wrong. Research use, not a medical device.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(common)
    for name in [asked] if asked in COMMANDS else COMMANDS:
        add_command(app, getattr(import_module(f"secondread.cli.commands.{COMMANDS[name]}"), name))
    if asked not in COMMANDS:
        from secondread.cli.commands.models.bundle import handing_over
        from secondread.cli.commands.service.group import service

        app.add_typer(handing_over)
        app.add_typer(service)
    return app


def show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"secondread {__version__}")
        raise typer.Exit


def common(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    context.with_resource(private())


def __getattr__(name: str) -> Any:
    """`app`, with all commands."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = found = application()
    return found
