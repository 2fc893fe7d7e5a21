"""Labels that lie in a table beside the images, as a person points them out to `index`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from secondread.cohorts.columns import COLUMNS
from secondread.cohorts.labels.answers import Answers, answers
from secondread.cohorts.labels.box_masks import BoxMasks, write_box_masks
from secondread.cohorts.labels.boxes import BoxColumns, boxes_by_image
from secondread.cohorts.labels.join import Join, Way, join
from secondread.cohorts.labels.table import LabelTable, TableLike, TableRow
from secondread.cohorts.listing.dicom_tree import Identify
from secondread.cohorts.listing.folder_words import SPLITS
from secondread.cohorts.row import Row, shared_file
from secondread.errors import UserError
from secondread.images.header import Header
from secondread.images.several_files import files_of
from secondread.tables import plain_name
from secondread.wording.lists import few
from secondread.wording.numbers import count

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

    def read(self) -> ReadLabels:
        """The table, judged as far as it can be without the images. Raises UserError."""
        table = LabelTable.of(self.table)
        column, notes = self._path_column(table)
        columns = self.label_columns
        if len(columns) == 1 and columns[0] == "*":
            columns = [name for name in table.columns if name != column]
        found = answers(
            table,
            column,
            label_column=self.label_column,
            normal=self.normal,
            unknown=self.unknown,
            finding_columns=columns,
        )
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
        return ReadLabels(self, table, found, boxes, [*table.notes, *notes, *found.notes])

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


@dataclass(frozen=True)
class ReadLabels:
    """A table that was read; `applied` brings it to the rows of images."""

    given: GivenLabels
    table: LabelTable
    answers: Answers
    boxes: BoxColumns | None
    notes: list[str]

    def applied(
        self,
        rows: Sequence[Row],
        headers: Mapping[str, Header],
        base: Path,
        folder: str,
        manifest_path: str | Path | None,
        identify: Identify,
    ) -> tuple[list[Row], list[str]]:
        """The rows with what the table says of them, and what is to be said. Labels are the table's alone: an
        image without a row in it has none, whatever its folder is called. `identify` turns a patient's id
        into what the manifest says.

        Raises UserError where rows and images do not fit (see `join`), or boxes have no place for their
        masks.
        """
        file_of = {row.path: _file(row, base) for row in rows}
        images = list(dict.fromkeys(file_of.values()))
        if not images:
            raise UserError(
                f"{folder}: holds no files that a table could label; an archive (npz) brings its own labels"
            )
        found = join(self.answers.of, images, source=self.table.source, folder=folder, way=self.given.way)
        masks = self._masks(found, headers, base, manifest_path)
        filled = [self._filled(row, found.keys.get(file_of[row.path]), masks, identify) for row in rows]
        notes = [*self.notes, *found.notes(self.table.source, folder)]
        if masks:
            notes.append(
                f"{count(len(masks), 'image')} with boxes: masks in {_masks_beside(manifest_path).folder}"
            )
        return filled, notes

    def _filled(self, row: Row, key: str | None, masks: Mapping[str, str], identify: Identify) -> Row:
        if key is None:
            return replace(row, label="", finding="")
        answer, own = self.answers.of[key], self.answers.rows[key]
        row = replace(row, label=answer.label, finding=answer.finding, mask=masks.get(key, row.mask))
        given = self.given
        if given.patient_column:
            patient = identify("patient", self._one(own, given.patient_column))
            row = replace(row, patient_id=patient or row.patient_id)
        if given.split_column:
            row = replace(row, split=self._split(own) or row.split)
        kept = {name: self._one(own, name) for name in map(self.table.column, given.keep)}
        return replace(row, extra={**row.extra, **kept})

    def _one(self, rows: Sequence[TableRow], name: str) -> str:
        """What the rows of an image say in a column; several values are told together."""
        column = self.table.column(name)
        return "; ".join(dict.fromkeys(row[column] for row in rows if row[column]))

    def _split(self, rows: Sequence[TableRow]) -> str:
        said = self._one(rows, self.given.split_column)
        split = SPLITS.get(said.lower(), "")
        if said and not split:
            raise UserError(
                f"{self.table.source}, line {rows[0].line}, column {self.given.split_column}: {said!r} is "
                "none of train, validation, test"
            )
        return split

    def _masks(
        self, found: Join, headers: Mapping[str, Header], base: Path, manifest_path: str | Path | None
    ) -> dict[str, str]:
        """The mask of each key that has boxes, relative to the base."""
        if self.boxes is None:
            return {}
        drawn = boxes_by_image(self.table, self.answers.rows, self.boxes)
        file_of, boxes, sizes = {}, {}, {}
        for key in (key for key in drawn if key in found.files):
            first = found.files[key][0]
            header = headers.get(first)
            if len(found.files[key]) != 1 or header is None or len(header.size) != 2:
                raise UserError(
                    f"{self.table.source}: {key} has boxes, and is no single picture ({first}); boxes are "
                    "for pictures, so leave them out with --no-boxes"
                )
            file_of[key], boxes[first], sizes[first] = first, drawn[key], header.size
        try:
            written = write_box_masks(
                _masks_beside(manifest_path), boxes, sizes, shares=self.boxes.sizes is not None
            )
        except UserError as error:
            raise UserError(f"{self.table.source}: {error}") from error
        return {key: Path(os.path.relpath(written[file], base)).as_posix() for key, file in file_of.items()}


def _masks_beside(manifest_path: str | Path | None) -> BoxMasks:
    if manifest_path is None:
        raise UserError("boxes become masks beside the manifest: say where the manifest will lie")
    return BoxMasks.beside(Path(manifest_path).absolute())


def _file(row: Row, base: Path) -> str:
    """The file or folder that a row's image lies in; of several the first."""
    first = files_of(row.path, base)[0]
    if "#" not in first or (base / first).exists():
        return first
    return shared_file(first) or first.rpartition("#")[0]
