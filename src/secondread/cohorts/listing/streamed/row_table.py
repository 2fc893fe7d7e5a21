"""Rows of a manifest in a table on the disk, in the order that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from secondread.cohorts.listing.streamed.natural_key import natural_key
from secondread.cohorts.row import Row
from secondread.outputs.temporary_database import TemporaryDatabase

Order = tuple[int, int, int]


class RowTable:
    """Rows that are added in any order and read, as often as needed, by the place that each was given."""

    def __init__(self, database: TemporaryDatabase, name: str) -> None:
        self._database, self._name = database, name
        database.run(f"CREATE TABLE {name} (place, said TEXT NOT NULL)")
        self._sorted = True

    def add(self, rows: Iterable[tuple[Order, Row]]) -> None:
        """A row's place is told by three numbers."""
        self._add((b"".join(number.to_bytes(8, "big") for number in place), row) for place, row in rows)

    def add_by_path(self, rows: Iterable[Row]) -> None:
        """A row's place is that of its path, as people count; rows of one path stay in their order."""
        self._add((natural_key(row.path), row) for row in rows)

    def _add(self, rows: Iterable[tuple[bytes, Row]]) -> None:
        self._sorted = False
        said = ((place, row_text(row)) for place, row in rows)
        self._database.add(f"INSERT INTO {self._name} VALUES (?, ?)", said)  # noqa: S608

    def __iter__(self) -> Iterator[Row]:
        if not self._sorted:
            new = f"{self._name}_sorted"
            self._database.run(f"CREATE TABLE {new} (place, said TEXT NOT NULL)")
            self._database.run(
                f"INSERT INTO {new} SELECT NULL, said FROM {self._name} ORDER BY place, rowid"  # noqa: S608
            )
            self._database.run(f"DROP TABLE {self._name}")
            self._database.run(f"ALTER TABLE {new} RENAME TO {self._name}")
            self._sorted = True
        for (said,) in self._database.rows(f"SELECT said FROM {self._name} ORDER BY rowid"):  # noqa: S608
            yield row_of(said)


def row_text(row: Row) -> str:
    """A row in JSON, in letters that every database takes."""
    cells = [row.path, row.split, row.label, row.finding, row.patient_id, row.study_id, row.mask]
    return json.dumps([*cells, dict(row.extra)] if row.extra else cells, separators=(",", ":"))


def row_of(said: str) -> Row:
    """The row of which `row_text` made a text."""
    return Row(*json.loads(said))
