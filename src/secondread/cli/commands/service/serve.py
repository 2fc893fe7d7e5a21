"""`secondread serve`: the service, or a look at whether it would work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.service.settings.service import ServiceSettings


@one_line("the same command starts it again")
def serve(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="Configuration (YAML), or a bundle for a service of its own."),
    ],
    spool: Annotated[
        Path | None,
        typer.Option(
            "--spool",
            metavar="FOLDER",
            help="With a bundle: the folder for everything, its configuration too.",
            show_default="service",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what would work and what would not, and start nothing.")
    ] = False,
    scorers_only: Annotated[
        bool,
        typer.Option("--scorers-only", help="A further machine at the same database and spool, that scores."),
    ] = False,
) -> None:
    """Receive studies, read them, send results, show the worklist.

    Runs until Ctrl-C or SIGTERM. What was received is kept on disk: the same command goes on where it ended.
    """
    try:
        from secondread.service.processes.parent import Service
        from secondread.service.processes.roles import ROLES
    except ModuleNotFoundError as error:
        from secondread.errors import UserError
        from secondread.wording.extras import install_command

        if (error.name or "").startswith("secondread"):
            raise
        raise UserError(
            f"the service needs {error.name}, which is not installed; {install_command('service')}"
        ) from None
    file, settings = _settings(config, spool)
    if check:
        from secondread.service.processes.checks import check_service

        faults = 0
        for finding in check_service(settings):
            typer.echo(str(finding))
            faults += finding.kind == "FAULT"
        if faults:
            raise typer.Exit(FINDINGS)
        return
    service = Service(settings, file, say, only=("scorer",) if scorers_only else ROLES)
    service.run()


def _settings(config: Path, spool: Path | None) -> tuple[Path, ServiceSettings]:
    from secondread.bundles.archive import SUFFIXES
    from secondread.bundles.read_document import expect_bundle
    from secondread.errors import UserError
    from secondread.exporting.export_document import is_exported
    from secondread.service.processes.embedded import embedded
    from secondread.service.settings.service import ServiceSettings

    if not config.exists():
        raise UserError(f"{config}: no such file or folder; give a configuration (YAML) or a bundle")
    if config.is_dir() or config.suffix in SUFFIXES:
        if not is_exported(config):
            expect_bundle(config)  # before a configuration is written that names it
        return embedded(config, spool or Path("service"))
    if spool is not None:
        raise UserError("--spool goes with a bundle; a configuration names its spool itself")
    return config, ServiceSettings.load(config)
