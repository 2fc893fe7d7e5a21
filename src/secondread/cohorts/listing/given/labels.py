"""Labels that lie in a table beside the images, as a person points them out to `index`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from secondread.cohorts.columns import COLUMNS
from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.boxes import BoxColumns
from secondread.cohorts.labels.name_table import Way
from secondread.cohorts.labels.table import LabelTable, TableLike
from secondread.cohorts.listing.given.read_labels import ReadLabels, SaidTable
from secondread.errors import UserError
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.tables import plain_name
from secondread.wording.lists import few

_IMAGES = (
    *("path", "filepath", "imagepath", "file", "filename", "image", "imagename", "imageid", "imageindex"),
    *("imagefile", "img", "imgid", "imgname", "name", "id", "patientid", "subjectid", "subject"),
)
"""Under which names tables keep what tells their images, the plainest first."""


@dataclass(frozen=True)
class GivenLabels:
    """A table of labels, and what its columns mean (see `cohorts.labels.answers`, `join` and `boxes`).

    table           its file (CSV, TSV, .xlsx, .parquet), or a pandas DataFrame
    path_column     what names the image; empty = the first column under a usual name, told in a line
    patient_column, split_column   fill the manifest's columns where they are given
    keep            further columns that the manifest keeps under their own names
    box_columns     four names; empty = a known form, told in a line; `boxes` = False takes none
    box_size_columns   two names: width and height of the pictures in which the boxes were drawn
    way             how rows find files (see `join`)

    >>> import pathlib, secondread
    >>> _ = secondread.make_phantoms("phantoms", seed=0, n_normal=2, n_abnormal=0)
    >>> _ = pathlib.Path("labels.csv").write_text("image,says\\n00000-pa,well\\n00001-pa,nodule\\n")
    >>> labels = secondread.GivenLabels("labels.csv", label_column="says", normal=["well"])
    >>> found = secondread.index("phantoms/train", labels=labels, workers=0)
    >>> [(row.label, row.finding) for row in found.manifest]
    [('normal', ''), ('abnormal', 'nodule')]
    """

    table: TableLike
    path_column: str = ""
    label_column: str = ""
    normal: Sequence[str] = ()
    unknown: Sequence[str] = ()
    label_columns: Sequence[str] = ()
    patient_column: str = ""
    split_column: str = ""
    keep: Sequence[str] = ()
    box_columns: Sequence[str] = ()
    box_size_columns: Sequence[str] = ()
    boxes: bool = True
    way: Way = "auto"

    def read(self, database: TemporaryDatabase) -> ReadLabels:
        """The table, judged as far as it can be without the images; it lies in a database. Raises
        UserError."""
        table = LabelTable.of(self.table, database)
        column, notes = self._path_column(table)
        columns = self.label_columns
        if len(columns) == 1 and columns[0] == "*":
            columns = [name for name in table.columns if name != column]
        each = EachAnswer(
            table,
            column,
            label_column=self.label_column,
            normal=self.normal,
            unknown=self.unknown,
            finding_columns=columns,
        )
        said, of_answers = SaidTable(database, each), each.notes()
        for name in (self.patient_column, self.split_column, *self.keep):
            if name:
                table.column(name)
        if own := [name for name in map(table.column, self.keep) if name in COLUMNS]:
            raise UserError(
                f"{table.source}: --keep {own[0]}: the manifest has a column of this name already; name it "
                "otherwise in the table"
            )
        boxes = None
        if self.box_columns:
            boxes = BoxColumns.named(table, self.box_columns, self.box_size_columns, "--box-columns")
        elif self.boxes and (known := BoxColumns.recognised(table)) is not None:
            boxes = BoxColumns.named(table, known.names, self.box_size_columns)
            boxes = replace(boxes, corners=known.corners)
        if boxes is not None:
            notes = [*notes, boxes.note(table)]
        return ReadLabels(
            table,
            said,
            boxes,
            [*table.notes, *notes, *of_answers],
            database,
            self.way,
            self.patient_column,
            self.split_column,
            self.keep,
        )

    def _path_column(self, table: LabelTable) -> tuple[str, list[str]]:
        if self.path_column:
            return table.column(self.path_column, "--path-column"), []
        known = {plain_name(name): name for name in table.columns if name}
        column = next((known[name] for name in _IMAGES if name in known), None)
        if column is None:
            raise UserError(
                f"{table.source}: which column names the image? say it with --path-column; the columns are "
                f"{few(table.columns, 20)}"
            )
        return column, [f"{table.source}: column {column} names the image"]
