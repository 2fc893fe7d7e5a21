"""`secondread calibrate`: the same model with a calibration of this site's normals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import AllowCode, BundleFolder, CacheDirectory, Device, Quiet, Where, Workers
from secondread.cli.promise_lines import say_promise


@one_line("run the same command again")
def calibrate(
    bundle: BundleFolder,
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="Manifest (CSV) whose normal rows calibrate.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the new bundle.")
    ],
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            "--false-alarm-rate",
            metavar="SHARE",
            help="Share of normals that may be flagged.",
            show_default="the bundle's own",
        ),
    ] = None,
    where: Where = None,
    device: Device = "auto",
    workers: Workers = None,
    cache: CacheDirectory = None,
    allow_code: AllowCode = None,
    quiet: Quiet = False,
) -> None:
    """Renew p-values and threshold from this site's normal images.

    The model stays the same; test rows of the manifest are not used. Exit 1 where images could not be read.
    """
    from secondread.bundles.read_document import expect_bundle

    expect_bundle(bundle)  # before torch is imported

    from secondread.bundles.bundle import Bundle
    from secondread.calibration.description import describe
    from secondread.fitting.calibrate import calibrate as calibrate_bundle
    from secondread.outputs.folders import beside
    from secondread.outputs.run_record import RunRecord
    from secondread.preprocessing.cache.place import cache_facts
    from secondread.scoring.device import choose_device

    record = RunRecord("calibrate", sys.argv)
    rows = read_manifest(manifest, where, quiet=quiet)
    loaded = Bundle.load(bundle, device=str(choose_device(device)), allow=allow_code or ())
    renewed = calibrate_bundle(
        loaded,
        rows,
        output,
        false_alarm_rate=false_alarm_rate,
        cache=cache,
        workers=workers,
        progress=not quiet,
    )
    facts = describe(renewed.calibration)
    record.write(
        beside(output),
        digests={"manifest": rows.digest, "from": loaded.digest, "bundle": renewed.digest},
        calibration=facts,
        normals=renewed.provenance.recalibrated[-1],
        cache=cache_facts(cache),
    )
    if not quiet:
        say_promise(facts)
    typer.echo(output)
    if int(renewed.provenance.recalibrated[-1]["unreadable"]):
        raise typer.Exit(FINDINGS)
