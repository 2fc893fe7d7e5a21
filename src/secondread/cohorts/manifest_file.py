"""A manifest that stays in its file: its rows are read from there one after the other, as often as needed.

What reads a manifest of ten million rows goes through this; a `Manifest` holds its rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from secondread.cohorts.conditions import Condition, none_meets, parsed, some_of, which_meet
from secondread.cohorts.manifest_table import RowsOfLines, lines_of, repeated, twice
from secondread.cohorts.row import Columns, Row, RowsDigest, rows_of
from secondread.errors import UserError
from secondread.images.several_files import absolute, under


@dataclass(frozen=True)
class Overview:
    """What a look through all rows found: how many meet the conditions, their digest (`Manifest.digest`), the
    first of them, and what a person should know of the columns."""

    rows: int
    digest: str
    first: Row
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ManifestFile:
    """The rows of a CSV or Parquet file that meet all conditions, such as `split=test`.

    Raises UserError as `Manifest.read` and `Manifest.where` do, from `rows` when the line is reached.
    """

    path: Path
    where: tuple[str, ...] = ()

    @property
    def base(self) -> Path:
        return self.path.resolve().parent

    def reference(self, row: Row) -> str:
        """The row's image as a reference that holds from anywhere."""
        return under(self.base, row.path)

    def rows(self) -> Iterator[Row]:
        """The rows in the file's order; whether a path stands twice is not looked at."""
        found = self._open()
        conditions = self._conditions(found)
        return chain.from_iterable(rows_of(columns) for _, columns in _met(found, conditions))

    def with_absolute_paths(self) -> Iterator[Row]:
        """The rows with paths that hold from anywhere."""
        for row in self.rows():
            mask = under(self.base, row.mask) if row.mask else ""
            yield replace(row, path=absolute(self.reference(row)), mask=mask)

    def looked_through(self, take: Callable[[Row], None] | None = None) -> Overview:
        """All rows read once, and refused where one is wrong or a path stands twice; of several errors the
        first is told.

        take   called with each row that meets the conditions

        Eight bytes a row are held, a hash of its path; where two are equal the file is read again.
        """
        found = self._open()
        conditions = self._conditions(found)
        digest, count, first = RowsDigest(found.further), 0, None
        hashes = array("q")
        try:
            for paths, columns in _met(found, conditions):
                hashes.extend(map(hash, paths))
                if not columns["path"]:
                    continue
                digest.add_columns(columns)
                if take is not None:
                    for row in rows_of(columns):
                        take(row)
                first = first or next(rows_of(columns))
                count += len(columns["path"])
        except UserError:
            self._refuse_twice(hashes)
            raise
        if first is None:
            if not hashes:
                raise UserError(
                    f"{self.path}: the manifest is empty; it needs one line per image below the header"
                )
            raise none_meets(self.where, str(self.path))
        self._refuse_twice(hashes)
        return Overview(count, digest.hex, first, found.notes)

    def _open(self) -> RowsOfLines:
        return RowsOfLines(self.path, lines_of(self.path))

    def _conditions(self, found: RowsOfLines) -> tuple[Condition, ...]:
        return parsed(self.where, found.further, str(self.path))

    def _refuse_twice(self, hashes: array[int]) -> None:
        alike = set(repeated(hashes).tolist())
        if not alike:
            return
        seen: dict[str, int] = {}
        for number, row in self._open():
            if hash(row.path) in alike and (earlier := seen.setdefault(row.path, number)) != number:
                raise twice(self.path, row.path, earlier, number)


def _met(found: RowsOfLines, conditions: Sequence[Condition]) -> Iterator[tuple[Sequence[str], Columns]]:
    """The paths of thousands of rows at once, and those rows that meet the conditions, perhaps none."""
    for _, columns in found.in_columns():
        met = some_of(columns, which_meet(columns, conditions)) if conditions else columns
        yield columns["path"], met
