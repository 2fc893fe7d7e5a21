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


@one_line("run the same command again")
def index(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder, DICOM tree, file or npz.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest to write (CSV, or .parquet).")
    ],
    shape: Annotated[
        Literal["volumes", "images"],
        typer.Option(
            "--as", help="CT, MR and PT slices, pages of a TIFF and NIfTI, as volumes or as images (slices)."
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
        typer.Option(help="Plane of the slices of NIfTI volumes, with --as images."),
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
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """List images in a manifest.

    Names of folders such as train/normal, or a table of labels (--labels), fill its columns. Exit 1 where
    files could not be read, or a split file names some that are not there.
    """
    from secondread.cohorts.listing.identities import key_mark, no_stray_key, read_key
    from secondread.cohorts.listing.index import index as index_source
    from secondread.cohorts.listing.key_map import refuse_place, write_key_map
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
    with no_stray_key(output):
        result = index_source(
            source,
            manifest_path=output,
            as_images=shape == "images",
            keep_ids=keep_ids,
            keep_derived=keep_derived,
            key=key,
            where=tuple(where or ()),
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
            with_studies=key_map is not None,
            workers=available_cores() if workers is None else workers,
        )
        notes = result.warnings
        if key_map is not None:
            if not result.studies:
                raise UserError(f"{source}: no image has a study in a DICOM header; leave --key-map out")
            mark = None if result.key_path is None else key_mark(read_key(result.key_path))
            notes = [*notes, *write_key_map(key_map, result.studies, mark)]
        result.manifest.write(output)
    place.written(
        digests={"manifest": result.manifest.digest},
        rows=len(result.manifest.rows),
        set_aside=[str(aside) for aside in result.set_aside],
        warnings=notes,
        missing=result.missing,
    )
    if not quiet:
        for warning in notes:
            say(f"note: {warning}")
        for line in first_lines("set aside", result.set_aside, 20, f"in {beside(output)}"):
            say(line)
        say(count(len(result.manifest.rows), "image"))
    typer.echo(output)
    if result.missing or any(aside.unreadable for aside in result.set_aside):
        raise typer.Exit(FINDINGS)
