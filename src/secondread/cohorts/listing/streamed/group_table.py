"""Rows by what they have in common, in a table on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from secondread.cohorts.listing.streamed.row_table import row_of, row_text
from secondread.cohorts.row import Row
from secondread.outputs.temporary_database import TemporaryDatabase, stored


@dataclass(frozen=True)
class Member:
    """A row of a group: its number among all that were added, and what it is in the group."""

    number: int
    word: str
    row: Row


class GroupTable:
    """Rows that are added in their order and come back one group after the other, within one in order."""

    def __init__(self, database: TemporaryDatabase, name: str) -> None:
        self._database, self._name = database, name
        self.count = 0
        database.run(f"CREATE TABLE {name} (key NOT NULL, number INTEGER, word TEXT, row TEXT)")

    def add(self, rows: Iterable[tuple[str, str, Row]]) -> None:
        """What a row has in common with others, what it is among them, and itself."""

        def cells() -> Iterator[tuple[object, ...]]:
            for key, word, row in rows:
                yield stored(key), self.count, word, row_text(row)
                self.count += 1

        self._database.add(f"INSERT INTO {self._name} VALUES (?, ?, ?, ?)", cells())  # noqa: S608

    def __iter__(self) -> Iterator[list[Member]]:
        """All groups, in any order."""
        rows = self._database.rows(
            f"SELECT key, number, word, row FROM {self._name} ORDER BY key, number"  # noqa: S608
        )
        for _, some in groupby(rows, lambda row: row[0]):
            yield [Member(number, word, row_of(said)) for _, number, word, said in some]

    def remove(self) -> None:
        self._database.run(f"DROP TABLE {self._name}")
