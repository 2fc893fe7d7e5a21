"""`secondread score`: a bundle reads images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondread.cli.failures import FINDINGS, UNREADABLE, one_line, stop
from secondread.cli.options import (
    AllowCode,
    BundleFolder,
    Device,
    Every,
    FoldersAsSequences,
    KeyMapFile,
    Quiet,
    RayAddress,
    ShardRows,
    Where,
    Workers,
)
from secondread.cli.promise_lines import say_promise
from secondread.cli.written_results import write_results
from secondread.terminal.importing import importing
from secondread.terminal.say import say
from secondread.wording.lists import first_lines
from secondread.wording.numbers import count, p_value, significant

if TYPE_CHECKING:
    from secondread.readings.reading import Reading
    from secondread.readings.studies import StudyReading


@one_line("the same command goes on where this one stopped")
def score(
    bundle: BundleFolder,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="A manifest, folders, files.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the readings.")
    ],
    maps: Annotated[bool, typer.Option("--maps", help="Also write heat maps on each input's grid.")] = False,
    dicom: Annotated[
        bool,
        typer.Option("--dicom", help="Also write DICOM results of DICOM images, with maps, in -o/dicom."),
    ] = False,
    where: Where = None,
    device: Device = "auto",
    workers: Workers = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", metavar="N", min=1, help="Images at a time.", show_default="by the size of images"
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="Longest time to decode one file.")
    ] = 60.0,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="File with the key of hashed ids in DICOM folders.",
            show_default="kept in -o",
        ),
    ] = None,
    key_map: KeyMapFile = None,
    every: Every = 1,
    folders_as_sequences: FoldersAsSequences = False,
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes that compute, each with a share of the cores.")
    ] = 1,
    ray: RayAddress = None,
    shard_rows: ShardRows = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Also write readings.parquet.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="FOLDER", help="Folder for prepared images.", show_default="none are kept"
        ),
    ] = None,
    allow_code: AllowCode = None,
    quiet: Quiet = False,
) -> None:
    """Score images, and write a table of readings.

    Each row is written as soon as its image is scored; the same command goes on where it stopped. Exit 1
    where some images could not be read, or have no DICOM result that was asked for.
    """
    from secondread.cli.early_workers import start_preparing

    if ray is None:
        start_preparing(inputs, workers)
    with importing():
        from secondread.calibration.description import describe
        from secondread.exporting.load import load_model
        from secondread.preprocessing.cache.place import open_cache
        from secondread.readings.score_into import no_maps
        from secondread.readings.score_into import score_into as score_images
        from secondread.terminal.counting import counting

    maps = maps or dicom
    if dicom:
        from secondread.results.write_dicom import require_highdicom

        require_highdicom()
    with importing():  # torch, where the bundle needs it
        loaded = load_model(bundle, device, allow=allow_code or ())
    early = no_maps(loaded) if maps else ""
    if early:
        say(f"note: {early}", shown=not quiet)
    sharded = ray is not None or shard_rows is not None
    with counting("scoring", shown=not quiet) as show:
        if sharded:
            from secondread.cli.archive_scoring import score_in_shards

            summary = score_in_shards(
                loaded,
                [str(source) for source in inputs],
                output,
                maps=maps,
                workers=workers,
                batch_size=batch_size,
                timeout_s=timeout,
                processes=processes,
                ray=ray,
                rows_per_shard=shard_rows,
                where=tuple(where or ()),
                bundle=bundle,
                device=device,
                allow=allow_code or (),
                unfit={"--dicom": dicom, "--cache": cache, "--key-map": key_map},
                progress=show,
            )
        else:
            summary = score_images(
                loaded,
                [str(source) for source in inputs],
                output,
                maps=maps,
                where=tuple(where or ()),
                workers=workers,
                batch_size=batch_size,
                timeout_s=timeout,
                cache=None if cache is None else open_cache(cache),
                key=key,
                key_map=key_map,
                every=every,
                folders_as_sequences=folders_as_sequences,
                processes=processes,
                command=sys.argv,
                progress=show,
            )
    if summary.nothing_readable:
        path, error = summary.failed[0] if summary.failed else (str(output), "nothing to read")
        stop(f"none of {len(summary.failed)} images can be read; first: {path}: {error}", UNREADABLE)
    if parquet:
        from secondread.readings.archive.as_parquet import write_parquet

        write_parquet(summary.readings.parent)
    page = None if sharded else _scores_over_time(summary.readings, workers)
    if not quiet:
        for note in summary.notes:
            say(f"note: {note}", shown=note != early)
        failed = [f"{path}: {error}" for path, error in summary.failed]
        for line in first_lines("not read", failed, 20, f"in {summary.readings}"):
            say(line)
        if summary.set_apart:
            say(f"set apart: {len(summary.set_apart)} (listed in run.json)")
        total = summary.scored + summary.earlier
        earlier = f" ({summary.earlier} of them before)" if summary.earlier else ""
        flagged = "none judged" if summary.flagged is None else f"{summary.flagged} flagged"
        say(
            f"{count(total, 'image')} scored{earlier}, {flagged}, {len(summary.failed)} not read. "
            "Research use, not a medical device."
        )
        for rank, found in enumerate(summary.highest, start=1):
            say(f"{rank}. {_named(found)}")
        if page is not None:
            say(f"scores over time: {page}")
        say_promise(describe(loaded.calibration))
    lacking = bool(summary.failed)
    if dicom:
        lacking |= bool(write_results(output, output / "dicom", "dicom", quiet=quiet).failed)
    typer.echo(summary.readings)
    if lacking:
        raise typer.Exit(FINDINGS)


def _named(found: StudyReading | Reading) -> str:
    """One of the highest scores: whose it is, its p-value, and whether it is flagged."""
    from secondread.readings.reading import Reading

    whose = found.path if isinstance(found, Reading) else f"study {found.study_id}"
    chance = "" if found.p_value is None else f", p {p_value(found.p_value)}"
    return f"{whose}: score {significant(found.score)}{chance}{', flagged' if found.flagged else ''}"


def _scores_over_time(table: Path, workers: int | None) -> Path | None:
    """The page of sequences beside the readings; None where they have none."""
    from secondread.readings.table_writer import has_places

    if not has_places(table.parent):
        return None
    from secondread.readings.readings import Readings
    from secondread.reports.sequences import write_sequences

    return write_sequences(Readings.read(table), workers=workers)
