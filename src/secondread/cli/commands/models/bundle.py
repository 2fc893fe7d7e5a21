"""`secondread bundle`: a bundle looked at, and handed over as a folder, an archive or through a model hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from secondread.cli.failures import one_line
from secondread.cli.help_pages import add_command
from secondread.cli.options import Force, Quiet
from secondread.errors import UserError
from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.bundles.handing_over import LeftOut

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


WithoutThumbnails = Annotated[
    bool,
    typer.Option(
        "--without-thumbnails", help="Leave out the baseline pixel-1nn with its thumbnails of normals."
    ),
]
WithoutSeen = Annotated[
    bool,
    typer.Option(
        "--without-seen",
        help="Leave out the digests and hashes of what the fit saw, by which copies in a test are noticed.",
    ),
]


@one_line("run the same command again")
def show(
    bundle: BundlePlace,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what a bundle is, holds, promises and needs."""
    from secondread.bundles import summary
    from secondread.bundles.facts import Facts

    with _folder_of(bundle) as folder:
        facts = Facts.read(folder)
    if as_json:
        typer.echo(json.dumps(summary.as_json(facts), indent=1, ensure_ascii=False))
        return
    rows = summary.summary(facts)
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
    without_thumbnails: WithoutThumbnails = False,
    without_seen: WithoutSeen = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a bundle to one file, with its model card.

    With what its owner says of it, or without something, it is a copy with a digest of its own that names the
    bundle's; scores, p-values and flags are the same.
    """
    from secondread.bundles.archive import pack as pack_bundle
    from secondread.outputs.folders import refuse_no_folder
    from secondread.wording.sizes import in_words

    refuse_no_folder(output)
    if output.exists() and not force:
        raise UserError(f"{output}: there already; replace it with --force, or choose another -o")
    without = _left_out(without_thumbnails, without_seen)
    with _handed_over(bundle, licence, data, metrics, without, quiet=quiet) as (folder, card):
        pack_bundle(folder, output, card)
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
    without_thumbnails: WithoutThumbnails = False,
    without_seen: WithoutSeen = False,
    quiet: Quiet = False,
) -> None:
    """Send a bundle to the Hugging Face hub (network).

    Its model card goes with it. The token is that of `hf auth login`, or HF_TOKEN.
    """
    from secondread.bundles.hub import push as push_bundle

    without = _left_out(without_thumbnails, without_seen)
    with _handed_over(bundle, licence, data, metrics, without, quiet=quiet) as (folder, card):
        typer.echo(push_bundle(folder, repository, card, public=public))


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


def _left_out(thumbnails: bool, seen: bool) -> LeftOut:
    given: tuple[tuple[Literal["thumbnails", "seen"], bool], ...] = (
        ("thumbnails", thumbnails),
        ("seen", seen),
    )
    return [name for name, wanted in given if wanted]


@contextmanager
def _handed_over(
    bundle: Path, licence: str, data: str, metrics: Path | None, without: LeftOut, *, quiet: bool
) -> Iterator[tuple[Path, str]]:
    """The folder of what is handed over, for the block, and its card."""
    from secondread.bundles.handing_over import handed_over, read_metrics
    from secondread.bundles.model_card import as_markdown, model_card

    given = None if metrics is None else read_metrics(metrics)
    with (
        _folder_of(bundle) as source,
        handed_over(source, licence=licence, data=data, metrics=given, without=without) as (folder, facts),
    ):
        if not quiet:
            if not facts.document.statements.licence:
                say("note: no --licence was given, and the card says that none is stated")
            for held in facts.keeps if without else ():
                say(f"note: it still holds {held}")
        yield folder, as_markdown(model_card(facts))


handing_over = typer.Typer(
    name="bundle",
    help="Show a bundle, pack it, and hand it over.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for part in (show, pack, unpack, push, pull):
    add_command(handing_over, part)
