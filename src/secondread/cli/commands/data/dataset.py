"""`secondread dataset`: a public data set, as it lies on disk, becomes a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.completion import data_set_names
from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.options import Force, Quiet, Where, Workers
from secondread.cli.table_output import TableOutput
from secondread.errors import UserError
from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.datasets.convert import Converted
    from secondread.datasets.dataset import Dataset


@one_line("run the same command again")
def dataset(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="The data set; without it all are listed.", autocompletion=data_set_names
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Where it lies; without it the set is described.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Manifest to write (CSV).")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the data sets.")] = False,
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="NAME", help="Whose split and selection, e.g. ae-flow.")
    ] = "",
    part: Annotated[
        str,
        typer.Option("--part", metavar="NAME", help="One of several sets there: category, organ, archive."),
    ] = "",
    normal: Annotated[
        list[str] | None,
        typer.Option("--normal", metavar="FINDING", help="A finding or class that counts as normal."),
    ] = None,
    readers: Annotated[
        int | None,
        typer.Option("--readers", metavar="N", min=1, help="Readers who have to mark an abnormal image."),
    ] = None,
    modality: Annotated[
        str, typer.Option("--modality", metavar="NAMES", help="Which images of a case, e.g. flair or t1,t2.")
    ] = "",
    slices: Annotated[
        str,
        typer.Option(
            "--slices", metavar="RANGE", help="Slices of volumes as images: all, 60-100 or 30%-70%."
        ),
    ] = "",
    split_file: Annotated[
        Path | None,
        typer.Option(
            "--split-file",
            metavar="FILE",
            help="Take only the images that this data.json names, split as it says.",
        ),
    ] = None,
    where: Where = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make a manifest of a public data set.

    With NAME and FOLDER it writes the manifest, and says licence, source, counts and what was guessed. With
    NAME alone it describes the set, its layout and its choices; without NAME it lists the sets. Exit 1 where
    a split file names images that are not there.
    """
    from secondread.datasets import DATASETS
    from secondread.datasets.convert import dataset as convert
    from secondread.datasets.names import dataset_named

    if listed or name is None:
        for each in DATASETS:
            typer.echo(f"{each:<18} {DATASETS.find(each).title}")
        return
    kind = dataset_named(name)
    if folder is None:
        _describe(kind)
        return
    if output is None:
        raise UserError(f"where to? give -o {kind.name()}.csv")
    from secondread.images.workers.cores import available_cores

    place = TableOutput("dataset", output, ("path",), "manifest", folder, split_file, force=force)
    converted = convert(
        name,
        folder,
        protocol=protocol,
        part=part,
        normal=tuple(normal or ()),
        readers=readers,
        modality=modality,
        slices=slices,
        manifest_path=output,
        split_file=split_file,
        where=tuple(where or ()),
        workers=available_cores() if workers is None else workers,
    )
    converted.manifest.write(output)
    place.written(
        digests={"manifest": converted.manifest.digest},
        rows=len(converted.manifest),
        dataset={"name": kind.name(), "licence": kind.licence, "source": kind.source, "paper": kind.paper},
        guessed=list(converted.guessed),
        warnings=list(converted.notes),
        missing=list(converted.missing),
    )
    if not quiet:
        _tell(converted)
    typer.echo(output)
    if converted.missing:
        raise typer.Exit(FINDINGS)


def _tell(converted: Converted) -> None:
    kind = converted.dataset
    say(f"{kind.title}")
    say(f"licence: {kind.licence}")
    say(f"source: {kind.source}")
    say(f"paper: {kind.paper}")
    for split, labels in converted.manifest.counts().items():
        for label, number in labels.items():
            say(f"{split or 'no split':>12}  {label:<12} {number:8,}")
    for line in converted.guessed:
        say(f"guessed: {line}")
    for line in converted.notes:
        say(f"note: {line}")
    if kind.as_papers:
        say(f"as the papers: {kind.as_papers}")


def _describe(kind: type[Dataset]) -> None:
    typer.echo(f"{kind.name()}: {kind.title}")
    for word in ("licence", "source", "paper", "layout", "split"):
        typer.echo(f"  {word + ':':<9}{getattr(kind, word)}")
    typer.echo(f"  read in: {'; '.join(kind.read_from)}")
    if kind.as_papers:
        typer.echo(f"  as the papers: {kind.as_papers}")
    for number, (protocol, meaning) in enumerate(kind.protocols.items()):
        typer.echo(f"  --protocol {protocol}: {meaning}{'' if number else ' (default)'}")
    for option, meaning in kind.takes.items():
        typer.echo(f"  --{option}: {meaning}")
    typer.echo(f"  secondread dataset {kind.name()} FOLDER -o {kind.name()}.csv")
