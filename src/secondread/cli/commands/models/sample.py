"""`secondread sample`: fictional images from a generative detector."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.manifests import read_manifest
from secondread.cli.options import AllowCode, BundleFolder, CacheDirectory, Device, Quiet, Workers
from secondread.terminal.say import say


@one_line("run the same command again")
def sample(
    bundle: BundleFolder,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the images and their page.")
    ],
    number: Annotated[
        int, typer.Option("-n", "--number", metavar="N", min=1, help="Images per temperature.")
    ] = 16,
    temperature: Annotated[
        list[float] | None,
        typer.Option(
            metavar="NUMBER", min=0, help="Spread of the draws, 1 = as learned.", show_default="0.7"
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="MANIFEST",
            help="The fit's manifest: nearest training images are shown in full.",
        ),
    ] = None,
    interpolate: Annotated[
        tuple[str, str] | None,
        typer.Option("--interpolate", help="Two images: also what lies between them.", metavar="FILE FILE"),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the draws.")] = 0,
    device: Device = "auto",
    workers: Workers = None,
    cache: CacheDirectory = None,
    allow_code: AllowCode = None,
    quiet: Quiet = False,
) -> None:
    """Draw fictional images, each beside the nearest training image.

    Whoever looks sees whether a drawn image is a copy. Only generative detectors can draw. Exit 1 where
    images are not finite.
    """
    from secondread.bundles.read_document import expect_bundle

    expect_bundle(bundle)  # before torch is imported

    from secondread.bundles.bundle import Bundle
    from secondread.images.workers.cores import available_cores
    from secondread.preprocessing.cache.limit import settle
    from secondread.preprocessing.cache.place import open_cache
    from secondread.previews.sampling import generative
    from secondread.previews.sampling import sample as draw_samples
    from secondread.previews.training_images import from_bundle, from_manifest
    from secondread.reports.samples import write_samples_page
    from secondread.scoring.device import choose_device
    from secondread.terminal.counting import counting

    loaded = Bundle.load(bundle, device=str(choose_device(device)), allow=allow_code or ())
    generative(loaded)
    processes = available_cores() if workers is None else workers
    if manifest is None:
        training = from_bundle(loaded)
    else:
        kept = open_cache(cache)
        rows = read_manifest(manifest, quiet=quiet)
        training = from_manifest(loaded, rows, cache=kept, workers=processes, shown=not quiet)
        settle(kept)
    with counting("drawing", shown=not quiet) as show:
        drawn = draw_samples(
            loaded,
            output,
            training,
            n=number,
            temperatures=tuple(temperature or (0.7,)),
            seed=seed,
            between=interpolate,
            workers=processes,
            command=sys.argv,
            progress=show,
        )
    page = write_samples_page(drawn, output, command=sys.argv)
    if not quiet:
        if drawn.failed:
            say(f"{drawn.failed} of {len(drawn.samples)} images are not finite")
        say("Fictional images: nobody's. Research use, not a medical device.")
    typer.echo(page)
    if drawn.failed:
        raise typer.Exit(FINDINGS)
