"""`secondread index`: a folder, DICOM tree or npz becomes a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from secondread.cli.failures import FINDINGS, one_line
from secondread.cli.label_options import (
    BoxColumns,
    BoxSizeColumns,
    Keep,
    LabelColumn,
    LabelColumns,
    Labels,
    MatchBy,
    NoBoxes,
    Normal,
    PathColumn,
    PatientColumn,
    SplitColumn,
    Unlabelled,
    given_labels,
)
from secondread.cli.options import Every, FoldersAsSequences, Force, KeyMapFile, Quiet, Where, Workers
from secondread.cli.table_output import TableOutput
from secondread.errors import UserError
from secondread.terminal.say import say
from secondread.wording.lists import first_lines
from secondread.wording.numbers import count


@one_line("the same command goes on where this one stopped")
def index(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder, DICOM tree, file or npz.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest to write (CSV, or .parquet).")
    ],
    shape: Annotated[
        Literal["volumes", "images"],
        typer.Option(
            "--as",
            help="CT, MR and PT slices, pages of a TIFF, volumes: as volumes or as images (slices).",
        ),
    ] = "volumes",
    keep_ids: Annotated[
        bool, typer.Option("--keep-ids", help="Leave DICOM ids as they are instead of keyed hashes.")
    ] = False,
    keep_derived: Annotated[bool, typer.Option("--keep-derived", help="Take derived series too.")] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="File with the key of hashed ids.", show_default="beside -o"
        ),
    ] = None,
    key_map: KeyMapFile = None,
    normal_class: Annotated[
        int, typer.Option("--normal-class", metavar="N", help="The label in an npz that means normal.")
    ] = 0,
    split_file: Annotated[
        Path | None,
        typer.Option(
            "--split-file",
            metavar="FILE",
            help="List only the files that this data.json names, split as it says.",
        ),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="Words in the names of files that are one image's channels, in order: t1,t1ce,t2,flair.",
        ),
    ] = "",
    labels: Labels = None,
    path_column: PathColumn = "",
    label_column: LabelColumn = "",
    label_columns: LabelColumns = "",
    normal: Normal = None,
    unlabelled: Unlabelled = None,
    match_by: MatchBy = "auto",
    patient_column: PatientColumn = "",
    split_column: SplitColumn = "",
    keep: Keep = "",
    box_columns: BoxColumns = "",
    box_size_columns: BoxSizeColumns = "",
    no_boxes: NoBoxes = False,
    patient: Annotated[
        str,
        typer.Option(
            metavar="REGEX",
            help="Regular expression on paths: the patient is its first group, or the one called patient.",
        ),
    ] = "",
    mask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Where masks lie: {stem}_mask*.png beside the image, or {folder}/../masks/{name}.",
            show_default="the usual names",
        ),
    ] = None,
    volume_parts: Annotated[
        str,
        typer.Option(
            metavar="PARTS",
            help="Words in the names of a volume's files: image=t1+flair,mask=seg,brain=nonzero.",
        ),
    ] = "",
    plane: Annotated[
        Literal["axial", "coronal", "sagittal"],
        typer.Option(help="Plane of the slices of volumes in one file, with --as images."),
    ] = "axial",
    slices: Annotated[
        str | None,
        typer.Option(
            metavar="RANGE", help="Which of them: 60-100, or 30%-70% of each volume.", show_default="all"
        ),
    ] = None,
    every: Every = 1,
    folders_as_sequences: FoldersAsSequences = False,
    where: Where = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="ADDRESS", help="Address of a Ray cluster that reads headers, or local."
        ),
    ] = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """List images in a manifest.

    Names of folders such as train/normal, or a table of labels (--labels), fill its columns. Exit 1 where
    files could not be read, or a split file names some that are not there.
    """
    from secondread.cohorts.listing.identities import key_mark, no_stray_key, read_key
    from secondread.cohorts.listing.key_map import refuse_place, write_key_map
    from secondread.cohorts.listing.listing import listing
    from secondread.cohorts.listing.options import IndexOptions
    from secondread.cohorts.manifest_writing import rows_where, write_manifest
    from secondread.images.workers.cores import available_cores
    from secondread.outputs.folders import beside

    place = TableOutput("index", output, ("path",), "manifest", source, key, split_file, labels, force=force)
    if key_map is not None:
        refuse_place(key_map)
    given = given_labels(
        labels,
        path_column=path_column,
        label_column=label_column,
        label_columns=label_columns,
        normal=normal,
        unlabelled=unlabelled,
        match_by=match_by,
        patient_column=patient_column,
        split_column=split_column,
        keep=keep,
        box_columns=box_columns,
        box_size_columns=box_size_columns,
        no_boxes=no_boxes,
    )
    how = IndexOptions(
        manifest_path=output,
        as_images=shape == "images",
        keep_ids=keep_ids,
        keep_derived=keep_derived,
        key=key,
        normal_class=normal_class,
        split_file=split_file,
        channels=channels.split(",") if channels else (),
        labels=given,
        patient=patient,
        masks=tuple(mask or ()),
        volume_parts=volume_parts,
        plane=plane,
        slices=slices,
        every=every,
        folders_as_sequences=folders_as_sequences,
        workers=available_cores() if workers is None else workers,
        resumable=True,
        ray=ray,
    )
    with no_stray_key(output), listing(source, how) as found:
        rows = rows_where(found.rows, tuple(where or ()), str(source))
        notes = found.warnings
        if key_map is not None:
            studies = found.studies(rows())
            if not studies:
                raise UserError(f"{source}: no image has a study in a DICOM header; leave --key-map out")
            mark = None if found.key_path is None else key_mark(read_key(found.key_path))
            notes = [*notes, *write_key_map(key_map, studies, mark)]
        written = write_manifest(output, rows, found.base)
    place.written(
        digests={"manifest": written.digest},
        rows=written.rows,
        set_aside=[str(aside) for aside in found.set_aside],
        warnings=notes,
        missing=found.missing,
    )
    if not quiet:
        for warning in notes:
            say(f"note: {warning}")
        for line in first_lines("set aside", found.set_aside, 20, f"in {beside(output)}"):
            say(line)
        say(count(written.rows, "image"))
    typer.echo(output)
    if found.missing or any(aside.unreadable for aside in found.set_aside):
        raise typer.Exit(FINDINGS)
