"""Parquet files as tables of text, read and written in batches, so that none is held whole.

Needs pyarrow (the extra `tables`). A cell is read as a person would write it: nothing where a value is
missing, `1` for 1.0 and true, dates in ISO form, lists with `|` between. Text is written as it is; bytes that
are not UTF-8, as file names may have, and texts that could be taken for such stand as `tables` has them.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from secondread import tables
from secondread.errors import UserError
from secondread.wording.extras import install_command

SUFFIXES = (".parquet", ".pq")
MAGIC = b"PAR1"
ROWS_AT_ONCE = 8192
"""In memory, of a file that is read or written."""


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does; False where nothing can be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def named_parquet(path: Path) -> bool:
    """Whether a file's name asks for Parquet."""
    return path.suffix.lower() in SUFFIXES


def lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """As `tables.read` gives the lines of a CSV: their numbers, the header being line 1, and their cells.

    Raises UserError where pyarrow is missing or the file is damaged.
    """
    parquet = _pyarrow(path).parquet
    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield 1, [str(name) for name in file.schema_arrow.names]
            number = 1
            for batch in file.iter_batches(ROWS_AT_ONCE, use_threads=False):
                columns = [_texts(column.to_pylist()) for column in batch.columns]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, list(cells)
    except Exception as error:  # pyarrow raises many kinds where a byte is wrong
        raise UserError(f"{path}: no Parquet file that can be read (damaged); save it as CSV") from error


def columns_of(path: Path) -> list[str]:
    """The names of a file's columns; UserError as `lines`."""
    found = lines(path)
    try:
        return next(found)[1]
    finally:
        found.close()  # type: ignore[attr-defined]


def write(file: BinaryIO, columns: Mapping[str, str], rows: Iterable[Sequence[Any]], *, of: Path) -> None:
    """Write rows into an open file, some thousands at once.

    columns  name -> type as Arrow calls it (`string`, `double`, `bool`, `int64`), in the rows' order
    of       what the file will be called, for errors

    None is a missing value. Raises UserError where pyarrow is missing.
    """
    waiting = iter(rows)
    groups = iter(lambda: list(islice(waiting, ROWS_AT_ONCE)), [])
    write_columns(file, columns, (list(zip(*group, strict=True)) for group in groups), of=of)


def write_columns(
    file: BinaryIO, columns: Mapping[str, str], groups: Iterable[Sequence[Sequence[Any]]], *, of: Path
) -> None:
    """As `write`, of rows that are given by their columns, `ROWS_AT_ONCE` of them at once."""
    arrow = _pyarrow(of)
    schema = arrow.schema([(name, arrow.type_for_alias(kind)) for name, kind in columns.items()])
    with arrow.parquet.ParquetWriter(file, schema) as writer:
        for cells in groups:
            arrays = [arrow.array(_cells(c), field.type) for c, field in zip(cells, schema, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _texts(column: Sequence[Any]) -> Sequence[str]:
    return [value if type(value) is str and not value.startswith("'") else text_of(value) for value in column]


def text_of(value: Any) -> str:
    """A cell of a workbook or Parquet file as text."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return tables.text_of(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "|".join(text_of(each) for each in value)
    return str(value)


def _cells(column: Sequence[Any]) -> Sequence[Any]:
    if set(map(type, column)) == {str} and tables.as_written(column):
        return column
    return [*map(_cell, column)]


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return tables.cell_of(value)
    return tables.cell_of(value) if value.startswith("'") else value


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{path}: a Parquet file needs pyarrow: {install_command('tables')}; or save it as CSV"
        ) from None
    return pyarrow
