"""The rows of a manifest from the lines of a table, with errors that name file, line and column."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from secondread import parquet, tables
from secondread.cohorts import not_a_manifest
from secondread.cohorts.columns import COLUMNS, LABELS, SPLITS, Header, refuse_other_length
from secondread.cohorts.row import ROWS_AT_ONCE, Columns, PackedRows, Row, rows_of
from secondread.cohorts.vector_rows import Lines, as_rows_of_images
from secondread.errors import UserError
from secondread.parquet import is_parquet
from secondread.texts import Places

_PATHS = ("path", "mask")
_MOST_WORDS = 12
"""A column with more different values says neither splits nor labels."""


Line: TypeAlias = tuple[int, list[str]]


def read_rows(path: Path) -> tuple[PackedRows, tuple[str, ...]]:
    return parse_rows(path, lines_of(path))


def lines_of(path: Path) -> Lines:
    """The lines of a manifest in a CSV or Parquet file, the header first, one after the other. Raises
    UserError where it cannot be read as either."""
    if is_parquet(path):
        return parquet.lines(path)
    return as_rows_of_images(path, _csv_lines(path))


def _csv_lines(path: Path) -> Lines:
    line = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for found in tables.read(stream, strict=True):
                line = found[0]
                yield found
    except csv.Error as error:
        raise UserError(f"{path}, after line {line}: not readable as CSV ({error})") from None
    except UnicodeDecodeError:
        raise UserError(not_a_manifest.not_text(path)) from None
    except FileNotFoundError:
        raise UserError(not_a_manifest.missing(path)) from None
    except OSError as error:
        if path.is_dir():
            raise UserError(not_a_manifest.folder(path)) from None
        raise UserError(f"{path}: the manifest cannot be read ({error.strerror})") from None


def parse_rows(path: Path, lines: Lines) -> tuple[PackedRows, tuple[str, ...]]:
    """The rows, and what is to be said of the columns. Raises UserError for a path that stands twice, and for
    what else is wrong of a line; of several what stands first."""
    found = RowsOfLines(path, lines)
    rows, numbers = PackedRows(found.further), array("Q")
    try:
        for some, columns in found.in_columns():
            rows.extend(columns)
            numbers.extend(some)
    except UserError:
        _refuse_twice(path, rows, numbers)
        raise
    _refuse_twice(path, rows, numbers)
    return rows, found.notes


def _refuse_twice(path: Path, rows: PackedRows, numbers: Sequence[int]) -> None:
    paths = rows.column("path")
    if not len(repeated(array("q", map(hash, paths)))):
        return
    places = Places(paths)
    for at in places.repeated(paths.made).tolist():
        image = paths.made(at)
        earlier = places.first(image, paths) or 0
        raise twice(path, image, numbers[earlier], numbers[at])


def repeated(hashes: array[int]) -> NDArray[np.int64]:
    """What stands more than once among the numbers, which are put into order."""
    ordered = np.frombuffer(hashes, np.int64)
    ordered.sort()
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def twice(path: Path, image: str, earlier: int, number: int) -> UserError:
    return UserError(f"{path}, line {number}, column path: {image} is already on line {earlier}")


class RowsOfLines:
    """The rows of a manifest, one after the other, each with the number of its line.

    Raises UserError where the header says no manifest, and from a line that is wrong in itself; whether a
    path stands twice is the caller's to see.
    """

    def __init__(self, path: Path, lines: Lines) -> None:
        _, first = next(lines, (0, []))
        if any("\0" in name for name in first):
            raise UserError(not_a_manifest.not_text(path))
        written = [name.strip() for name in first]
        while written[-2:] == ["", ""]:
            written.pop()
        if len(written) < len(first) and not written[-1]:
            written.pop()
            lines = _without_empty_ends(lines, len(written))
        self.path, self._lines, self._written = path, lines, written
        _check_twice(path, self._written)
        self.header = Header.of(str(path), self._written)
        _check_path(path, self.header.names)
        self.further: dict[str, set[str]] = {name: set() for name in self.header.names if name not in COLUMNS}
        self._checked = [
            pair for pair in (("split", SPLITS), ("label", LABELS)) if pair[0] in self.header.names
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the columns, as far as the rows were read."""
        return self.header.notes(str(self.path), self.further)

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        for numbers, columns in self.in_columns():
            yield from zip(numbers, rows_of(columns), strict=True)

    def in_columns(self) -> Iterator[tuple[Sequence[int], Columns]]:
        """The rows thousands at once, with the numbers of their lines."""
        for lines, error in self._groups():
            right = len(lines)
            if lines and not self._right(lines):
                right, error = self._first_wrong(lines)
            if right:
                yield self._columns(lines[:right])
            if error is not None:
                raise error

    def _groups(self) -> Iterator[tuple[list[Line], UserError | None]]:
        """The lines that are left, thousands at once, and why there are no more."""
        while True:
            lines: list[Line] = []
            try:
                lines.extend(islice(self._lines, ROWS_AT_ONCE))  # which keeps what came before an error
            except UserError as error:
                yield lines, error
                return
            if not lines:
                return
            yield lines, None

    def _right(self, lines: Sequence[Line]) -> bool:
        """Whether nothing is wrong with any of the lines."""
        if {len(cells) for _, cells in lines} != {len(self._written)}:
            return False
        columns = dict(zip(self.header.names, zip(*(cells for _, cells in lines), strict=True), strict=True))
        return all(columns["path"]) and all(
            {cell.strip().lower() for cell in set(columns[name])} <= {*allowed}
            for name, allowed in self._checked
        )

    def _first_wrong(self, lines: Sequence[Line]) -> tuple[int, UserError]:
        """The place of the first line with which something is wrong, and what."""
        for at, (number, cells) in enumerate(lines):
            try:
                self._refuse_wrong(number, cells)
            except UserError as error:
                return at, error
        raise AssertionError("one of the lines is wrong")

    def _refuse_wrong(self, number: int, cells: Sequence[str]) -> None:
        path = self.path
        refuse_other_length(str(path), number, cells, self._written)
        values = dict(zip(self.header.names, cells, strict=True))
        for name, allowed in self._checked:
            _check_word(path, number, self.header.as_written(name), values[name].strip().lower(), allowed)
        if not values["path"]:
            raise UserError(f"{path}, line {number}, column path: empty; every row names an image")

    def _columns(self, lines: Sequence[Line]) -> tuple[Sequence[int], Columns]:
        numbers, cells = zip(*lines, strict=True)
        columns: dict[str, Sequence[str]] = {name: [""] * len(lines) for name in COLUMNS}
        for name, found in zip(self.header.names, zip(*cells, strict=True), strict=True):
            columns[name] = found if name in _PATHS else list(map(str.strip, found))
        for name, allowed in self._checked:
            said = {cell: allowed[allowed.index(cell.lower())] for cell in set(columns[name])}
            columns[name] = list(map(said.__getitem__, columns[name]))  # one text for all rows
        for name, known in self.further.items():
            if len(known) < _MOST_WORDS:
                known.update(islice(dict.fromkeys(map(str.lower, columns[name])), _MOST_WORDS))
        return numbers, columns


def _without_empty_ends(lines: Lines, count: int) -> Lines:
    """The lines without empty cells behind `count` columns: a spreadsheet writes them where columns were."""
    for number, cells in lines:
        yield number, cells if any(cell.strip() for cell in cells[count:]) else cells[:count]


def _check_twice(path: Path, written: Sequence[str]) -> None:
    if not written:
        raise UserError(f"{path}: the manifest is empty; its first line names the columns, among them path")
    for position, name in enumerate(written):
        if name in written[:position]:
            raise UserError(f"{path}, line 1, column {name}: this column stands twice in the header")


def _check_path(path: Path, names: Sequence[str]) -> None:
    if "path" not in names:
        hint = "; separate the columns by commas" if len(names) == 1 and set(";\t") & set(names[0]) else ""
        raise UserError(f"{path}, line 1: no column path among {', '.join(names)}{hint}")


def _check_word(path: Path, number: int, column: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        words = ", ".join(word for word in allowed if word)
        raise UserError(f"{path}, line {number}, column {column}: {value!r} is none of {words} or empty")
