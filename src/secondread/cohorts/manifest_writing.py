"""A manifest written row by row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from secondread import parquet, tables
from secondread.cohorts.columns import COLUMNS
from secondread.cohorts.conditions import meets, none_meets, parsed
from secondread.cohorts.row import PackedRows, Row, RowsDigest, columns_of
from secondread.images.several_files import SEPARATOR, files_of
from secondread.outputs.whole import whole_output

_NOT_PLAIN = (SEPARATOR, "//", "/.", "/\0", "\0/", "\0.")
"""In references one after the other, with a zero around each: several files, an absolute path, or a path that
is not in its shortest form (or has a hidden name in it)."""
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
    count, filled, further = _looked_through(rows())
    columns = [*(name for name in COLUMNS if name in filled), *further]
    digest = RowsDigest(further)
    target = path.resolve().parent
    moved = _Moved(base, target)

    def cells() -> Iterator[list[Sequence[str]]]:
        for some in columns_of(rows(), parquet.ROWS_AT_ONCE):
            digest.add_columns(some)
            empty = [""] * len(some["path"])
            found = {name: some.get(name, empty) for name in columns}
            if target != base:
                for name in {"path", "mask"} & found.keys():
                    found[name] = moved(found[name])
            yield [*found.values()]

    with whole_output(path) as file:
        if parquet.named_parquet(path):
            parquet.write_columns(file, dict.fromkeys(columns, "string"), cells(), of=path)
        else:
            file.write(tables.line(columns).encode())
            file.writelines(tables.lines(some).encode() for some in cells())
    return WrittenManifest(count, digest.hex)


def _looked_through(rows: Iterable[Row]) -> tuple[int, set[str], Iterable[str]]:
    """How many rows there are, which of the project's columns say something, and the further columns."""
    if isinstance(rows, PackedRows):
        return len(rows), {"path", *(name for name in COLUMNS if rows.column(name).filled)}, rows.further
    filled, count = {"path"}, 0
    further: dict[str, None] = {}
    for some in columns_of(rows, parquet.ROWS_AT_ONCE):
        count += len(some["path"])
        filled.update(name for name in COLUMNS if name not in filled and any(some[name]))
        further.update(dict.fromkeys(name for name in some if name not in COLUMNS))
    return count, filled, further


class _Moved:
    """References that are relative to one folder as those that hold from another."""

    def __init__(self, base: Path, target: Path) -> None:
        self._base, self._target = base, target
        came, goes = (Path(os.path.abspath(folder)).parts for folder in (base, target))
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(came, goes, strict=False)))
        self._before = "".join(f"{name}/" for name in ("..",) * (len(goes) - shared) + (*came[shared:],))
        within = goes[shared] if shared == len(came) < len(goes) else ""
        self._unlike = (*_NOT_PLAIN, *((f"\0{within}/", f"\0{within}\0") if within else ()))
        """What stands in no reference that is moved by what is put before it alone."""

    def __call__(self, references: Sequence[str]) -> list[str]:
        together = "\0".join(("", *references, ""))
        if any(mark in together for mark in self._unlike):
            return list(map(self._each, references))
        return [reference and self._before + reference for reference in references]

    def _each(self, reference: str) -> str:
        if not reference:
            return reference
        return SEPARATOR.join(
            file if os.path.isabs(file) else Path(os.path.relpath(self._base / file, self._target)).as_posix()
            for file in files_of(reference, self._base)
        )
