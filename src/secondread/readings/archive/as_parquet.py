"""`readings.csv` once more as Parquet, whose columns have types; written in batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from secondread import parquet, tables
from secondread.outputs.whole import cannot_write, whole_file
from secondread.readings.table_writer import FIRST, LAST, READINGS

PARQUET = "readings.parquet"
_READ: dict[str, Callable[[str], Any]] = {
    "string": str,
    "double": float,
    "int64": int,
    "bool": lambda cell: cell == "true",
}


def write_parquet(folder: Path) -> Path:
    """`readings.parquet` of a folder of readings: texts, numbers, and flags; an empty number is missing.

    Raises UserError where pyarrow is missing or the disk is full.
    """
    place = folder / PARQUET
    with (folder / READINGS).open(encoding="utf-8", newline="") as table:
        lines = (cells for _, cells in tables.read(table))
        kinds = {name: _kind(name) for name in next(lines, [])}
        read = [_READ[kind] for kind in kinds.values()]
        texts = [kind == "string" for kind in kinds.values()]
        rows = (
            [one(cell) if cell or text else None for one, cell, text in zip(read, cells, texts, strict=True)]
            for cells in lines
        )
        try:
            with whole_file(place) as file:
                parquet.write(file, kinds, rows, of=place)
        except OSError as error:
            raise cannot_write(place, error) from error
    return place


def _kind(column: str) -> str:
    if column in (*FIRST, *LAST):
        return "string"
    return {"flagged": "bool", "frame": "int64"}.get(column, "double")
