"""A manifest written row by row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from secondread import parquet, tables
from secondread.cohorts.columns import COLUMNS
from secondread.cohorts.conditions import meets, none_meets, parsed
from secondread.cohorts.row import Row, RowsDigest
from secondread.images.several_files import SEPARATOR, files_of
from secondread.outputs.whole import whole_output

Rows = Callable[[], Iterable[Row]]


@dataclass(frozen=True)
class WrittenManifest:
    """How many rows it has, and their digest (`Manifest.digest`)."""

    rows: int
    digest: str


def rows_where(rows: Rows, where: Sequence[str], source: str) -> Rows:
    """The rows that meet conditions (see `Manifest.where`, which raises the same errors); none is held."""
    if not where:
        return rows
    further = dict.fromkeys(name for row in rows() for name in row.extra)
    wanted = parsed(where, further, source)
    if not any(meets(row, wanted) for row in rows()):
        raise none_meets(where, source)
    return lambda: (row for row in rows() if meets(row, wanted))


def write_manifest(path: Path, rows: Rows, base: Path) -> WrittenManifest:
    """Write rows as CSV, or as Parquet where the name ends so, with paths that hold from there.

    rows    gives them, as often as asked; none is held
    base    the folder that their paths are relative to

    Raises UserError where Parquet needs pyarrow, and for a full disk.
    """
    filled: set[str] = {"path"}
    further: dict[str, None] = {}
    count = 0
    for row in rows():
        count += 1
        filled.update(name for name in COLUMNS if name not in filled and row.value(name))
        further.update(dict.fromkeys(row.extra))
    columns = [*(name for name in COLUMNS if name in filled), *further]
    digest = RowsDigest(further)
    target = path.resolve().parent

    def cells() -> Iterator[list[str]]:
        for row in rows():
            digest.add(row)
            moved = replace(row, path=_moved(row.path, base, target), mask=_moved(row.mask, base, target))
            yield [moved.value(name) for name in columns]

    with whole_output(path) as file:
        if parquet.named_parquet(path):
            parquet.write(file, dict.fromkeys(columns, "string"), cells(), of=path)
        else:
            file.writelines(tables.line(line).encode() for line in chain([columns], cells()))
    return WrittenManifest(count, digest.hex)


def _moved(reference: str, base: Path, target: Path) -> str:
    if not reference or target == base:
        return reference
    return SEPARATOR.join(
        file if os.path.isabs(file) else Path(os.path.relpath(base / file, target)).as_posix()
        for file in files_of(reference, base)
    )
