"""The rows of a table of labels on the disk, for tables of more than memory holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from secondread.cohorts.labels.table_row import TableRow
from secondread.outputs.temporary_database import TemporaryDatabase, stored
from secondread.packed import Packed


class StoredRows(Packed[TableRow]):
    """The rows of one table, in its order; of them a database has one table at most.

    places  of each column among a row's cells
    """

    def __init__(
        self, database: TemporaryDatabase, rows: Iterable[TableRow], places: Mapping[str, int]
    ) -> None:
        self._database, self._places = database, places
        database.run("CREATE TABLE table_rows (at INTEGER PRIMARY KEY, said TEXT NOT NULL)")
        self._count = 0

        def numbered() -> Iterator[tuple[int, str]]:
            for row in rows:
                yield self._count, row_text(row)
                self._count += 1

        database.add("INSERT INTO table_rows VALUES (?, ?)", numbered())

    def __len__(self) -> int:
        return self._count

    def made(self, at: int) -> TableRow:
        return self._row(*self._database.one("SELECT said FROM table_rows WHERE at = ?", (at,)))

    def __iter__(self) -> Iterator[TableRow]:
        return (self._row(said) for (said,) in self._database.rows("SELECT said FROM table_rows ORDER BY at"))

    def by_cell(self, column: str) -> Iterator[list[TableRow]]:
        """The rows that say one thing in a column, then those that say another, in the order of the first
        of them."""
        database = self._database
        database.run("CREATE TABLE cells (cell NOT NULL, at INTEGER NOT NULL)")
        database.add(
            "INSERT INTO cells VALUES (?, ?)", ((stored(row[column]), at) for at, row in enumerate(self))
        )
        database.run("CREATE TABLE by_first (first, at, PRIMARY KEY (first, at)) WITHOUT ROWID")
        database.run(
            "INSERT INTO by_first SELECT min(at) OVER (PARTITION BY cell) AS first, at FROM cells "
            "ORDER BY first, at"
        )
        database.run("DROP TABLE cells")
        rows = database.rows("SELECT first, said FROM by_first JOIN table_rows USING (at) ORDER BY first, at")
        for _, some in groupby(rows, lambda row: row[0]):
            yield [self._row(said) for _, said in some]
        database.run("DROP TABLE by_first")

    def _row(self, said: str) -> TableRow:
        return row_of(json.loads(said), self._places)


def row_text(row: TableRow) -> str:
    """A row in JSON, in letters that every database takes."""
    return json.dumps([row.line, *row.cells], separators=(",", ":"))


def row_of(said: Sequence[Any], places: Mapping[str, int]) -> TableRow:
    """The row of what `row_text` wrote."""
    line, *cells = said
    return TableRow(line, tuple(cells), places)
