"""A table of labels as it came: CSV, TSV, Excel or Parquet, every cell as text."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from secondread import parquet
from secondread.cohorts.labels.encoding import marked_encoding, not_utf8
from secondread.cohorts.labels.stored_rows import StoredRows
from secondread.cohorts.labels.table_row import TableRow
from secondread.errors import UserError
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.tables import plain_name, text_of
from secondread.wording.extras import install_command
from secondread.wording.lists import few
from secondread.wording.near_names import near_names

if TYPE_CHECKING:
    from pandas import DataFrame

_DELIMITERS = (",", "\t", ";", "|")
_EXCEL = (".xlsx", ".xlsm")
_OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_AT_ONCE = 1 << 20
"""Bytes of text in memory."""
_ZIP = b"PK\x03\x04"
_SAID_BY_EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line that names what separates the columns, for Excel alone."""
_LEFT_OUT = "export it as CSV (UTF-8), TSV, .xlsx or .parquet"


TableLike: TypeAlias = Union[str, Path, "DataFrame"]
"""The file of a table, or a pandas DataFrame."""


@dataclass(frozen=True)
class LabelTable:
    """A table with a name for each column. Cells are text without white space around them; a cell that is
    empty or missing is "", and whole numbers that a program keeps as fractions are whole (`1.0` in Excel and
    Parquet is "1").

    notes  what a person should know of how it was read

    >>> import pathlib
    >>> from secondread.cohorts.labels.table import LabelTable
    >>> _ = pathlib.Path("labels.csv").write_text("image;finding\\na;none\\nb;nodule\\n")
    >>> table = LabelTable.read("labels.csv")
    >>> [(row["image"], row["finding"]) for row in table.rows]
    [('a', 'none'), ('b', 'nodule')]
    """

    source: str
    columns: tuple[str, ...]
    rows: Sequence[TableRow]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | Path, database: TemporaryDatabase | None = None) -> LabelTable:
        """The table in a file. The kind is told by its first bytes; of a workbook the first sheet is read.
        Rows lie in `database`, where one is given.

        Raises UserError where the file is missing, is no table, is text in another encoding than UTF-8 (or
        UTF-16 that says so), needs a package that is not installed, names a column twice or not at all, has a
        line of another length than its header, or no line below it.
        """
        path = Path(path)
        try:
            if path.is_dir():
                raise UserError(f"{path}: a folder, where a table of labels was meant; give the file in it")
            with path.open("rb") as stream:
                start = stream.read(8)
            lines, notes = _reader(path, start)(path, start)
        except FileNotFoundError:
            raise UserError(f"{path}: no such table of labels{_near_files(path)}") from None
        except OSError as error:
            raise UserError(
                f"{path}: the table of labels cannot be read ({error.strerror or error})"
            ) from None
        return cls._of_lines(str(path), lines, notes, database)

    @classmethod
    def of(cls, given: TableLike, database: TemporaryDatabase | None = None) -> LabelTable:
        """The table in a file (`read`), or in a pandas DataFrame, whose header counts as line 1."""
        if isinstance(given, str | Path):
            return cls.read(given, database)
        cells = [[str(name) for name in given.columns]]
        there = given.astype(object).where(given.notna(), None)
        cells += [
            [parquet.text_of(value) for value in row] for row in there.itertuples(index=False, name=None)
        ]
        return cls._of_lines("DataFrame", enumerate(cells, start=1), (), database)

    @classmethod
    def _of_lines(
        cls,
        source: str,
        lines: Iterable[tuple[int, Sequence[str]]],
        notes: Sequence[str],
        database: TemporaryDatabase | None,
    ) -> LabelTable:
        found = iter(lines)
        first, header = next(found, (0, ()))
        columns = tuple(name.strip() for name in header)
        read = "".join(f" ({note.removeprefix(f'{source}: ')})" for note in notes)
        while columns and not columns[-1]:
            columns = columns[:-1]
        if not columns:
            raise UserError(f"{source}: the table is empty; its first line names the columns{read}")
        _check_columns(source, first, columns)
        places = {name: place for place, name in enumerate(columns)}
        made = (
            TableRow(line, _cells(source, line, cells, len(columns)), places)
            for line, cells in found
            if any(cell.strip() for cell in cells)
        )
        rows = tuple(made) if database is None else StoredRows(database, made, places)
        if not rows:
            raise UserError(f"{source}: no line below the header; the columns are {few(columns, 8)}{read}")
        return cls(source, columns, rows, tuple(notes))

    def column(self, name: str, option: str = "") -> str:
        """The column of this name; also in another spelling (`Image Index` for `image_index`), where only one
        fits. Raises UserError that names near columns; `option` is where a person gave the name."""
        if name in self.columns:
            return name
        alike = [column for column in self.columns if plain_name(column) == plain_name(name)]
        if len(alike) == 1:
            return alike[0]
        plain = {plain_name(column): column for column in self.columns}
        near = [plain[found] for found in near_names(plain_name(name), plain)]
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise UserError(
            f"{self.source}: no column {name!r}{f' ({option})' if option else ''}; {meant}"
            f"the columns are {few(self.columns, 20)}"
        )


Lines = Iterator[tuple[int, list[str]]]
Read = Callable[[Path, bytes], tuple[Iterable[tuple[int, Sequence[str]]], Sequence[str]]]


def _reader(path: Path, start: bytes) -> Read:
    ending = path.suffix.lower()
    if not start:
        raise UserError(f"{path}: the file is empty (0 bytes); export it again")
    if start.startswith(parquet.MAGIC):
        return _parquet
    if start.startswith(_ZIP) and ending not in (".csv", ".tsv", ".txt"):
        return _excel
    if start.startswith(_OLD_EXCEL):
        raise UserError(f"{path}: a workbook of the form before 2007 (.xls); save it as .xlsx or CSV")
    if start.startswith(_ZIP) or ending in (*_EXCEL, *parquet.SUFFIXES):
        raise UserError(f"{path}: not what its name says: its content is of another kind; {_LEFT_OUT}")
    return _text


def _text(path: Path, start: bytes) -> tuple[Lines, Sequence[str]]:
    encoding = marked_encoding(start)
    notes = [f"{path}: read as {encoding.upper()}"] if encoding != "utf-8-sig" else []
    try:
        no_text = any("\0" in piece for piece in _pieces(path, encoding))
    except UnicodeDecodeError:
        no_text = True
    if no_text:
        raise UserError(not_utf8(path))
    said = _SAID_BY_EXCEL.fullmatch(next(_text_lines(path, encoding), ""))
    if said:
        delimiter, above = said[1], 1
    else:
        first = next((line for line in _text_lines(path, encoding) if line.strip()), "")
        delimiter, above = _delimiter(path, first), 0
    if delimiter not in (",", "\t"):
        notes.append(f"{path}: cells are separated by {delimiter!r}")
    return _csv_lines(path, _text_lines(path, encoding), delimiter, above), notes


def _pieces(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file, some of it at a time."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as stream:
        while data := stream.read(_AT_ONCE):
            yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _text_lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines with their ends, which are those of files: other marks, such as U+2028, stay within a cell."""
    with path.open(newline="", encoding=encoding) as stream:
        yield from stream


def _delimiter(path: Path, first: str) -> str:
    """What separates the columns: a tab in a .tsv, else whichever of the usual marks the first line has most
    often outside of quotes."""
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    bare = "".join(first.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


def _csv_lines(path: Path, lines: Iterable[str], delimiter: str, above: int) -> Lines:
    """The rows below as many lines as stand `above` them."""
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))
    reader = csv.reader(islice(lines, above, None), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num + above, [text_of(cell) for cell in cells]
    except csv.Error as error:
        raise UserError(
            f"{path}, after line {reader.line_num + above}: not readable as CSV ({error})"
        ) from None


def _excel(path: Path, start: bytes) -> tuple[Lines, Sequence[str]]:
    try:
        import openpyxl
    except ImportError:
        raise UserError(
            f"{path}: an Excel file needs openpyxl: {install_command('tables')}; or save it as CSV"
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        rows = [[parquet.text_of(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        names = book.sheetnames
        book.close()
    except Exception as error:
        raise UserError(
            f"{path}: no Excel file that can be read (damaged or protected); save it as CSV"
        ) from error
    notes = (
        [f"{path}: of {len(names)} sheets the first, {names[0]}, is read; the others are {few(names[1:])}"]
        if len(names) > 1
        else []
    )
    return ((number, row) for number, row in enumerate(rows, start=1) if any(row)), notes


def _parquet(path: Path, start: bytes) -> tuple[Lines, Sequence[str]]:
    return parquet.lines(path), []


def _check_columns(source: str, line: int, columns: Sequence[str]) -> None:
    """A column may be without a name where it is the first, as pandas writes its index."""
    for place, name in enumerate(columns):
        if not name and place:
            raise UserError(f"{source}, line {line}: column {place + 1} has no name; name it")
        if name in columns[:place]:
            raise UserError(f"{source}, line {line}, column {name}: this column stands twice in the header")


def _cells(source: str, line: int, cells: Sequence[str], count: int) -> tuple[str, ...]:
    if len(cells) > count and not any(cell.strip() for cell in cells[count:]):
        cells = cells[:count]
    if len(cells) != count:
        remedy = "quote cells that contain the separator, and fill every column"
        if count == 1:
            remedy = "the first line names the columns: remove what stands above these names"
        raise UserError(
            f"{source}, line {line}: {len(cells)} cells where the header has {count} columns; {remedy}"
        )
    return tuple(cell.strip() for cell in cells)


def _near_files(path: Path) -> str:
    try:
        names = [each.name for each in path.parent.iterdir() if each.is_file()]
    except OSError:
        return f": there is no folder {path.parent}"
    near = near_names(path.name, names)
    return (
        f"; did you mean {' or '.join(near)}?" if near else "; give the path of a CSV, TSV, .xlsx or .parquet"
    )
