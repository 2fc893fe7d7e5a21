"""The options of `index` about a table of labels, and what they mean together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from secondread.errors import UserError

if TYPE_CHECKING:
    from secondread.cohorts.listing.given.labels import GivenLabels

Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="Table of labels: CSV, TSV, .xlsx or .parquet."),
]
PathColumn = Annotated[
    str,
    typer.Option(
        "--path-column",
        metavar="COLUMN",
        help="Column of the table that names the image: its path, file name or id.",
        show_default="found by its name",
    ),
]
LabelColumn = Annotated[
    str, typer.Option("--label-column", metavar="COLUMN", help="Column of the table with the label.")
]
LabelColumns = Annotated[
    str,
    typer.Option(
        "--label-columns",
        metavar="COLUMNS",
        help="Instead: a column of 0 and 1 for each finding, such as MEL,NV,BKL; * for all.",
    ),
]
Normal = Annotated[
    list[str] | None,
    typer.Option("--normal", metavar="VALUE", help="Value of the label, or column, that means normal."),
]
Unlabelled = Annotated[
    list[str] | None,
    typer.Option(
        "--unlabelled",
        metavar="VALUE",
        help="Value of the label that means not known, as empty does.",
    ),
]
MatchBy = Annotated[
    Literal["auto", "path", "name", "stem", "id"],
    typer.Option("--match-by", help="How rows of the table find files."),
]
PatientColumn = Annotated[
    str, typer.Option("--patient-column", metavar="COLUMN", help="Column of the table with the patient.")
]
SplitColumn = Annotated[
    str, typer.Option("--split-column", metavar="COLUMN", help="Column of the table with the split.")
]
Keep = Annotated[
    str,
    typer.Option("--keep", metavar="COLUMNS", help="Further columns of the table to keep, such as age,sex."),
]
BoxColumns = Annotated[
    str,
    typer.Option(
        "--box-columns",
        metavar="COLUMNS",
        help="Four columns of boxes, which become masks: x,y,width,height or x_min,y_min,x_max,y_max.",
        show_default="found by their names",
    ),
]
BoxSizeColumns = Annotated[
    str,
    typer.Option(
        "--box-size-columns",
        metavar="COLUMNS",
        help="Two columns with width and height of the pictures in which boxes were drawn.",
    ),
]
NoBoxes = Annotated[bool, typer.Option("--no-boxes", help="Make no masks of boxes in the table.")]


def columns_of(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def given_labels(
    labels: Path | None,
    *,
    path_column: str,
    label_column: str,
    label_columns: str,
    normal: list[str] | None,
    unlabelled: list[str] | None,
    match_by: Literal["auto", "path", "name", "stem", "id"],
    patient_column: str,
    split_column: str,
    keep: str,
    box_columns: str,
    box_size_columns: str,
    no_boxes: bool,
) -> GivenLabels | None:
    """What was said of a table; None where there is none. Raises UserError where options are about a table
    and none is given."""
    if labels is None:
        said = {
            "--path-column": path_column,
            "--label-column": label_column,
            "--label-columns": label_columns,
            "--normal": normal,
            "--unlabelled": unlabelled,
            "--patient-column": patient_column,
            "--split-column": split_column,
            "--keep": keep,
            "--box-columns": box_columns,
            "--box-size-columns": box_size_columns,
        }
        if alone := [option for option, value in said.items() if value]:
            raise UserError(f"{alone[0]} is about a table of labels: say which with --labels FILE")
        return None
    from secondread.cohorts.listing.given.labels import GivenLabels

    return GivenLabels(
        labels,
        path_column=path_column,
        label_column=label_column,
        normal=tuple(normal or ()),
        unknown=tuple(unlabelled or ()),
        label_columns=columns_of(label_columns),
        patient_column=patient_column,
        split_column=split_column,
        keep=columns_of(keep),
        box_columns=columns_of(box_columns),
        box_size_columns=columns_of(box_size_columns),
        boxes=not no_boxes,
        way=match_by,
    )
