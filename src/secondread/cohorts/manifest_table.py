"""The rows of a manifest from the lines of a table, with errors that name file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from secondread import tables
from secondread.cohorts import not_a_manifest
from secondread.cohorts.columns import COLUMNS, LABELS, SPLITS, Header, refuse_other_length
from secondread.cohorts.row import Row
from secondread.cohorts.vector_rows import as_rows_of_images
from secondread.errors import UserError

_PATHS = ("path", "mask")
_MOST_WORDS = 12
"""A column with more different values says neither splits nor labels."""


def read_rows(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    line = 0

    def lines() -> Iterator[tuple[int, list[str]]]:
        nonlocal line
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for found in tables.read(stream, strict=True):
                line = found[0]
                yield found

    try:
        return parse_rows(path, as_rows_of_images(path, lines()))
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


def parse_rows(path: Path, lines: Iterator[tuple[int, list[str]]]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows, and what is to be said of the columns."""
    _, first = next(lines, (0, []))
    written = [name.strip() for name in first]
    _check_twice(path, written)
    header = Header.of(str(path), written)
    _check_path(path, header.names)
    further = {name: set[str]() for name in header.names if name not in COLUMNS}
    seen: dict[str, int] = {}
    rows: list[Row] = []
    for number, cells in lines:
        refuse_other_length(str(path), number, cells, written)
        values = {
            name: cell if name in _PATHS else cell.strip()
            for name, cell in zip(header.names, cells, strict=True)
        }
        known = {name: values[name] for name in COLUMNS if name in values}
        for column, allowed in (("split", SPLITS), ("label", LABELS)):
            if column in known:
                known[column] = known[column].lower()
                _check_word(path, number, header.as_written(column), known[column], allowed)
        if not known["path"]:
            raise UserError(f"{path}, line {number}, column path: empty; every row names an image")
        earlier = seen.setdefault(known["path"], number)
        if earlier != number:
            raise UserError(
                f"{path}, line {number}, column path: {known['path']} is already on line {earlier}"
            )
        for name, values_there in further.items():
            if len(values_there) < _MOST_WORDS:
                values_there.add(values[name].lower())
        rows.append(Row(**known, extra={name: values[name] for name in further}))
    return rows, header.notes(str(path), further)


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
