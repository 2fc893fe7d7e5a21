"""`secondread bundle`: a bundle looked at, and handed over as a folder, an archive or through a model hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import one_line
from secondread.cli.options import Force, Quiet
from secondread.errors import UserError
from secondread.terminal.say import say

BundlePlace = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder or archive of a bundle.")]
Repository = Annotated[
    str, typer.Argument(metavar="REPOSITORY", help="Name on the Hugging Face hub, OWNER/NAME.")
]
Licence = Annotated[
    str, typer.Option("--licence", metavar="NAME", help="Licence of the bundle, for its card.")
]
Data = Annotated[
    str, typer.Option("--data", metavar="TEXT", help="What it learned from, in a sentence, for its card.")
]
Metrics = Annotated[
    Path | None,
    typer.Option("--metrics", metavar="FILE", help="metrics.json of this bundle's report, for its card."),
]
NewFolder = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", help="New folder for the bundle.")
]


@one_line("run the same command again")
def show(bundle: BundlePlace) -> None:
    """Say what a bundle is and what it promises."""
    from secondread.bundles.model_card import summary

    with _folder_of(bundle) as folder:
        rows = summary(folder)
    widest = max(len(name) for name, _ in rows)
    for name, text in rows:
        typer.echo(f"{name:<{widest}}  {text}")


@one_line("run the same command again")
def pack(
    bundle: BundlePlace,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Archive to write, .zip or .tar.")
    ],
    licence: Licence = "",
    data: Data = "",
    metrics: Metrics = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a bundle to one file, with its model card."""
    from secondread.bundles.archive import pack as pack_bundle
    from secondread.outputs.folders import refuse_no_folder
    from secondread.wording.sizes import in_words

    refuse_no_folder(output)
    if output.exists() and not force:
        raise UserError(f"{output}: there already; replace it with --force, or choose another -o")
    with _folder_of(bundle) as folder:
        pack_bundle(folder, output, _card(folder, licence, data, metrics, quiet=quiet))
    if not quiet:
        say(f"{in_words(output.stat().st_size)}; `score`, `calibrate` and `sample` take it as it is")
    typer.echo(output)


@one_line("run the same command again")
def unpack(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="Archive that `pack` wrote.")],
    output: NewFolder,
    quiet: Quiet = False,
) -> None:
    """Write the bundle in an archive to a folder."""
    from secondread.bundles.archive import unpack as unpack_bundle
    from secondread.outputs.folders import output_bundle, refuse_no_folder

    refuse_no_folder(output)
    with output_bundle(output):
        digest = unpack_bundle(archive, output)
    _said(output, digest, quiet=quiet)


@one_line("run the same command again")
def push(
    bundle: BundlePlace,
    repository: Repository,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; without it it is private.")
    ] = False,
    licence: Licence = "",
    data: Data = "",
    metrics: Metrics = None,
    quiet: Quiet = False,
) -> None:
    """Send a bundle to the Hugging Face hub (network).

    Its model card goes with it. The token is that of `hf auth login`, or HF_TOKEN.
    """
    from secondread.bundles.hub import push as push_bundle

    with _folder_of(bundle) as folder:
        typer.echo(
            push_bundle(folder, repository, _card(folder, licence, data, metrics, quiet=quiet), public=public)
        )


@one_line("run the same command again")
def pull(
    repository: Repository,
    output: NewFolder,
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="NAME", help="Branch, tag or commit.", show_default="the newest"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch a bundle from the Hugging Face hub (network)."""
    from secondread.bundles.hub import pull as pull_bundle
    from secondread.outputs.folders import output_bundle, refuse_no_folder

    refuse_no_folder(output)
    with output_bundle(output):
        digest = pull_bundle(repository, output, revision=revision)
    _said(output, digest, quiet=quiet)


def _said(output: Path, digest: str, *, quiet: bool) -> None:
    if not quiet:
        say(f"every file is as its bundle.json declares; digest {digest}")
    typer.echo(output)


@contextmanager
def _folder_of(bundle: Path) -> Iterator[Path]:
    """The folder of a bundle, for the block, where it is an archive."""
    from secondread.bundles.archive import unpacked

    if not bundle.is_file():
        yield bundle
        return
    with unpacked(bundle) as folder:
        yield folder


def _card(folder: Path, licence: str, data: str, metrics: Path | None, *, quiet: bool) -> str:
    from secondread.bundles.model_card import model_card, read_metrics

    if not quiet and not licence:
        say("note: no --licence was given, and the card says that none is stated")
    return model_card(
        folder, licence=licence, data=data, metrics=None if metrics is None else read_metrics(metrics)
    )
