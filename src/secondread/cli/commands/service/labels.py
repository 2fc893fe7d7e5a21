"""`secondread service labels`: what people said of studies, as labels for `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.commands.service.opened import Configuration, opened
from secondread.cli.failures import one_line
from secondread.cli.options import Quiet
from secondread.terminal.say import say
from secondread.wording.numbers import count


@one_line("run the same command again")
def labels(
    config: Configuration,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest (CSV) to write.")],
    readings: Annotated[
        Path | None,
        typer.Option(
            "--readings",
            metavar="FOLDER",
            help="Also gather the studies' readings, which `evaluate` takes with the manifest.",
            show_default="none are gathered",
        ),
    ] = None,
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle",
            metavar="NAME",
            help="Of several bundles, whose readings.",
            show_default="the only one",
        ),
    ] = "",
    quiet: Quiet = False,
) -> None:
    """Write what people said of studies as a manifest.

    Each person's newest verdict counts, and the study has the label of most; where they are divided it has
    none. The manifest names images in the spool, and its ids are hashes. `secondread evaluate READINGS
    MANIFEST` compares both.
    """
    from secondread.cohorts.manifest import Manifest
    from secondread.errors import UserError
    from secondread.outputs.folders import table_place
    from secondread.service.reading.labels import gather_readings, labelled, manifest_of
    from secondread.service.spool.files import Spool

    with opened(config) as (settings, database):
        named = {one.name: one for one in settings.bundles}
        if not bundle and len(named) > 1:
            raise UserError(f"{config}: has several bundles, {', '.join(named)}; name one with --bundle")
        if bundle and bundle not in named:
            raise UserError(f"{config}: has no bundle {bundle}; its bundles are {', '.join(named)}")
        chosen = named[bundle] if bundle else settings.bundles[0]
        spool = Spool(settings.spool)
        with database.read() as session:
            found = labelled(session, chosen, spool)
            manifest: Manifest = manifest_of(found)
            images = 0
            if readings is not None:
                images = gather_readings(session, found, chosen, spool, readings)
        manifest.write(table_place(output, ("path", "label"), "manifest"))
    if not quiet:
        divided = sum(one.abnormal is None for one in found)
        abnormal = sum(bool(one.abnormal) for one in found)
        say(
            f"{count(len(found), 'study', 'studies')} judged: {abnormal} abnormal, "
            f"{len(found) - abnormal - divided} normal, {divided} on which people are divided"
        )
        if readings is not None:
            say(f"{count(images, 'reading')} of them in {readings}")
    typer.echo(output)
