"""What a table of labels says, brought to the rows of images one after the other: both lie on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.box_masks import BoxMasks, placed_box_mask
from secondread.cohorts.labels.boxes import Box, BoxColumns, boxes_of, no_boxes
from secondread.cohorts.labels.join import joined
from secondread.cohorts.labels.name_table import NameTable, Way
from secondread.cohorts.labels.stored_rows import row_of, row_text
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.labels.table_row import TableRow
from secondread.cohorts.listing.dicom_tree import Identify
from secondread.cohorts.listing.folder_words import SPLITS
from secondread.cohorts.listing.streamed import row_table
from secondread.cohorts.row import Row, shared_file
from secondread.errors import UserError
from secondread.images.header import Header
from secondread.images.several_files import files_of
from secondread.outputs.temporary_database import TemporaryDatabase, restored, stored
from secondread.wording.numbers import count

_AT_ONCE = 1000


class SaidTable:
    """The answer of each image of a table, and its rows; `names` are what the table calls the images."""

    def __init__(self, database: TemporaryDatabase, answers: EachAnswer) -> None:
        self.names = NameTable(database)
        database.run("CREATE TABLE said (key INTEGER PRIMARY KEY, label TEXT, finding TEXT, own TEXT)")
        each = iter(answers)
        while some := list(islice(each, _AT_ONCE)):
            database.add(
                "INSERT INTO said VALUES (?, ?, ?, ?)",
                (
                    (key, answer.label, json.dumps(answer.finding), f"[{','.join(map(row_text, rows))}]")
                    for key, (_, rows, answer) in enumerate(some, start=self.names.names)
                ),
            )
            self.names.add_names(image for image, *_ in some)


@dataclass(frozen=True)
class ReadLabels:
    """A table that was read; `applied` brings it to the rows of images.

    way     how rows find files (see `join`)
    patient_column, split_column, keep   as `GivenLabels` has them
    """

    table: LabelTable
    said: SaidTable
    boxes: BoxColumns | None
    notes: list[str]
    database: TemporaryDatabase
    way: Way
    patient_column: str
    split_column: str
    keep: Sequence[str]

    def applied(
        self,
        rows: Iterable[Row],
        headers: Mapping[str, Header],
        base: Path,
        folder: str,
        manifest_path: str | Path | None,
        identify: Identify,
    ) -> tuple[Iterator[Row], list[str]]:
        """The rows with what the table says of them, and what is to be said. Labels are the table's alone: an
        image without a row in it has none, whatever its folder is called. `identify` turns a patient's id
        into what the manifest says.

        Raises UserError where rows and images do not fit (see `joined`), or boxes have no place for their
        masks.
        """
        database, names = self.database, self.said.names
        database.run("CREATE TABLE to_label (at INTEGER PRIMARY KEY, path NOT NULL, listed TEXT NOT NULL)")
        database.add(
            "INSERT INTO to_label (path, listed) VALUES (?, ?)",
            ((stored(_file(row, base)), row_table.row_text(row)) for row in rows),
        )
        names.add_files(restored(path) for (path,) in database.rows("SELECT path FROM to_label ORDER BY at"))
        if not names.files:
            raise UserError(
                f"{folder}: holds no files that a table could label; an archive (npz) brings its own labels"
            )
        said = joined(names, source=self.table.source, folder=folder, way=self.way)
        drawn = self._draw(headers, base, manifest_path)
        if self.split_column:
            for own in self._of_rows("own"):
                if own[0] is not None:
                    self._split(self._own(own[0]))
        notes = [*self.notes, *said]
        if drawn:
            notes.append(
                f"{count(drawn, 'image')} with boxes: masks in {_masks_beside(manifest_path).folder}"
            )
        masks = _masks_beside(manifest_path) if drawn else None
        return self._filled(base, masks, identify), notes

    def _of_rows(self, columns: str) -> Iterator[tuple[str | None, ...]]:
        """What is known of each row, in their order."""
        return self.database.rows(
            f"SELECT {columns} FROM to_label LEFT JOIN labelled USING (path) "  # noqa: S608
            "LEFT JOIN matched USING (file) LEFT JOIN said USING (key) ORDER BY at"
        )

    def _filled(self, base: Path, masks: BoxMasks | None, identify: Identify) -> Iterator[Row]:
        kept = list(map(self.table.column, self.keep))
        asked = bool(kept or self.patient_column or self.split_column)
        boxed = "NULL" if masks is None else "key IN (SELECT key FROM boxed)"
        for text, path, label, finding, own, has_box in self._of_rows(
            f"listed, path, label, finding, {'own' if asked else 'NULL'}, {boxed}"
        ):
            row = row_table.row_of(str(text))
            if label is None:
                yield replace(row, label="", finding="")
                continue
            mask = row.mask
            if masks is not None and has_box:
                mask = Path(os.path.relpath(masks.place(restored(path or "")), base)).as_posix()
            row = replace(row, label=label, finding=json.loads(finding or ""), mask=mask)
            if own is not None:
                rows = self._own(own)
                if self.patient_column:
                    patient = identify("patient", self._one(rows, self.patient_column))
                    row = replace(row, patient_id=patient or row.patient_id)
                if self.split_column:
                    row = replace(row, split=self._split(rows) or row.split)
                extra = {name: self._one(rows, name) for name in kept}
                row = replace(row, extra={**row.extra, **extra})
            yield row

    def _own(self, said: str) -> list[TableRow]:
        """The table's rows of an image."""
        return [row_of(one, self._places) for one in json.loads(said)]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.table.columns)}

    def _one(self, rows: Sequence[TableRow], name: str) -> str:
        """What the rows of an image say in a column; several values are told together."""
        column = self.table.column(name)
        return "; ".join(dict.fromkeys(row[column] for row in rows if row[column]))

    def _split(self, rows: Sequence[TableRow]) -> str:
        said = self._one(rows, self.split_column)
        split = SPLITS.get(said.lower(), "")
        if said and not split:
            raise UserError(
                f"{self.table.source}, line {rows[0].line}, column {self.split_column}: {said!r} is "
                "none of train, validation, test"
            )
        return split

    def _draw(self, headers: Mapping[str, Header], base: Path, manifest_path: str | Path | None) -> int:
        """Write the masks of all images that have boxes, once all are known to fit, and say how many these
        are."""
        if (columns := self.boxes) is None:
            return 0
        database, table, shares = self.database, self.table, columns.sizes is not None
        database.run("CREATE TABLE boxed (key INTEGER PRIMARY KEY, boxes TEXT NOT NULL)")

        def drawn() -> Iterator[tuple[int, str]]:
            for key, own in database.rows("SELECT key, own FROM said ORDER BY key"):
                if boxes := boxes_of(table, self._own(own), columns):
                    yield key, json.dumps([[b.left, b.top, b.right, b.bottom, b.line] for b in boxes])

        database.add("INSERT INTO boxed VALUES (?, ?)", drawn())
        if not database.one("SELECT EXISTS (SELECT 1 FROM boxed)")[0]:
            raise no_boxes(table, columns)

        def fitting() -> Iterator[tuple[str, int, str, list[Box]]]:
            rows = database.rows(
                "SELECT name, files, path, boxes FROM (SELECT key, count(*) AS files, min(file) AS file "
                "FROM boxed JOIN matched USING (key) GROUP BY key) JOIN boxed USING (key) "
                "JOIN names USING (key) JOIN labelled USING (file) ORDER BY key"
            )
            for name, files, path, boxes in rows:
                yield restored(name), files, restored(path), [Box(*box) for box in json.loads(boxes)]

        for name, files, path, _ in fitting():
            header = headers.get(path)
            if files != 1 or header is None or len(header.size) != 2:
                raise UserError(
                    f"{table.source}: {name} has boxes, and is no single picture ({path}); boxes are "
                    "for pictures, so leave them out with --no-boxes"
                )
        number = 0
        try:
            masks = _masks_beside(manifest_path)
            for _, _, path, boxes in fitting():
                placed_box_mask(path, headers[path].size, boxes, shares=shares)
            for _, _, path, boxes in fitting():
                masks.write(path, headers[path].size, boxes, shares=shares)
                number += 1
        except UserError as error:
            raise UserError(f"{table.source}: {error}") from error
        return number


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
