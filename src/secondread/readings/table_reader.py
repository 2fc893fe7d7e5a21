"""The tables that scoring wrote, read back row by row."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from secondread import tables
from secondread.cohorts.labels.encoding import marked_encoding
from secondread.errors import DataError, UserError

FACTS = "facts.jsonl"
_AS_WRITTEN = "numbers may have changed, too: give the table as `secondread score` wrote it"
_SEPARATORS = {";": "semicolons", "\t": "tabs"}
SHARDS = "shards"
"""The folder of an archive's shards (`readings.archive`), each of which holds facts, thumbnails and maps."""


def read_facts(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of `facts.jsonl`, one after the other, since each holds a picture; one that is torn or
    damaged is dropped."""
    return (facts for _, facts in lines_and_facts(path))


def lines_and_facts(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The same, each with the line as it stands."""
    for place in files_of(path):
        with place.open("rb") as file:
            for line in file:
                if facts := facts_of(line):
                    yield line, facts


def facts_of(line: bytes) -> dict[str, Any] | None:
    """What a line of `facts.jsonl` says; None where it is torn or damaged."""
    if not line.endswith(b"\n"):
        return None
    with contextlib.suppress(ValueError):
        facts = json.loads(line.decode())
        if isinstance(facts, dict) and {"path", "facts", "thumbnail"} <= facts.keys():
            return facts
    return None


def files_of(path: Path) -> list[Path]:
    """The file, or those of this name in the shards beside it; none where there is neither."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.parent.glob(f"{SHARDS}/*/{path.name}") if file.is_file())


class Table:
    """A table that scoring wrote, row by row. Raises UserError where it lacks a column that is needed, and
    DataError where it is damaged.

    place   column -> where it stands
    """

    def __init__(self, path: Path, needed: Sequence[str]) -> None:
        self.path = path
        self._rows = self._read()
        _, self.columns = next(self._rows, (1, []))
        for name in needed:
            if name not in self.columns:
                raise UserError(f"{path}: {_lacks(name, self.columns)}")
        self.place = {name: number for number, name in enumerate(self.columns)}

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        try:
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                yield from tables.read(file)
        except (UnicodeDecodeError, csv.Error) as error:
            with self.path.open("rb") as file:
                encoding = marked_encoding(file.read(4))
            if encoding != "utf-8-sig":
                raise UserError(
                    f"{self.path}: {encoding.upper()}, as another program saved it; {_AS_WRITTEN}"
                ) from None
            raise DataError(f"{self.path}: damaged ({error}); run the same `score` again") from None

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """The number of the line at which each row ends, and its cells; once."""
        for number, cells in self._rows:
            if len(cells) != len(self.columns):
                raise DataError(
                    f"{self.where(number)}: the row is cut short or too long; run the same `score` again"
                )
            yield number, cells

    def where(self, number: int) -> str:
        """A line in words."""
        return f"{self.path}, line {number}"


def _lacks(name: str, columns: Sequence[str]) -> str:
    """What to say of a table without a column that is needed."""
    together = "".join(columns)
    mark = next((words for sign, words in _SEPARATORS.items() if sign in together), "")
    if len(columns) < 3 and mark:
        return f"its columns are separated by {mark}, as another program saved it; {_AS_WRITTEN}"
    return f"no column {name!r}; give the table that `secondread score` wrote"


def each_rank(path: Path) -> Iterator[dict[str, str]]:
    """The rows of `studies.csv` by column, the highest score first and studies without one last, each with
    its rank; a table of earlier versions is sorted. Raises UserError and DataError as `Table`."""
    table = Table(path, ("study_id", "score", "worst_image"))
    rows = (dict(zip(table.columns, cells, strict=True)) for _, cells in table)
    if "rank" in table.place:
        yield from rows
        return
    ranked = sorted(rows, key=lambda row: -float(row["score"] or "-inf"))
    for rank, row in enumerate(ranked, start=1):
        yield {"rank": str(rank) if row["score"] else "", **row}
