"""One line of a manifest: an image, what is known of it, and whose it is; and many lines in little memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, repeat
from operator import attrgetter
from typing import Self, TypeAlias

from secondread.cohorts.columns import COLUMNS
from secondread.images.several_files import SEPARATOR
from secondread.packed import Packed
from secondread.texts import Cells
from secondread.wording.short import Short

ROWS_AT_ONCE = 256
"""That are taken as columns, where nothing else asks for another number."""
_PART = re.compile(r"frame/[0-9]+|(frame/[0-9]+/)?slice/(axial|coronal|sagittal)/[0-9]+")


@dataclass(frozen=True, slots=True, repr=False)
class Row(Short):
    """One image as the manifest says it: every field a string, empty where nothing is known.

    `path` and `mask` are references as written (relative to the manifest, `path#member` allowed); a `path`
    may name several files, separated by `|`, that are the channels of one image (see `images.several_files`);
    `label` is `normal`, `abnormal` or empty = unlabelled; `extra` holds all further columns.

    >>> import secondread
    >>> row = secondread.Row("a.png", finding="nodule; mass", extra={"view": "PA"})
    >>> row.findings, row.value("view")
    (('nodule', 'mass'), 'PA')
    """

    path: str
    split: str = ""
    label: str = ""
    finding: str = ""
    patient_id: str = ""
    study_id: str = ""
    mask: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def value(self, column: str) -> str:
        """The cell of this row in a column, one of the project's own or a further one."""
        return str(getattr(self, column)) if column in COLUMNS else self.extra.get(column, "")

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of this image; a cell may hold several, separated by `;`."""
        return tuple(part.strip() for part in self.finding.split(";") if part.strip())


Columns: TypeAlias = Mapping[str, Sequence[str]]
"""Some consecutive rows, at least one: each of the project's columns and the further ones, with a cell for
each row. What goes through millions of rows takes them so, thousands at once."""


def rows_of(columns: Columns) -> Iterator[Row]:
    """The rows of these columns, in their order."""
    further = [name for name in columns if name not in COLUMNS]
    own = (columns[name] for name in COLUMNS)
    extras: Iterable[dict[str, str]] = (
        (dict(zip(further, cells, strict=True)) for cells in zip(*map(columns.get, further), strict=True))
        if further
        else iter(dict, None)
    )
    return map(Row, *own, extras)


def columns_of(rows: Iterable[Row], at_once: int) -> Iterator[Columns]:
    """Rows as columns, so many at once; a further column that none of these has is not among theirs."""
    if isinstance(rows, PackedRows):
        yield from rows.in_columns(at_once)
        return
    waiting = iter(rows)
    while group := list(islice(waiting, at_once)):
        further = dict.fromkeys(name for row in group for name in row.extra)
        columns = {name: list(map(attrgetter(name), group)) for name in COLUMNS}
        yield columns | {
            name: [row.extra.get(name, "") for row in group] for name in further if name not in columns
        }


class PackedRows(Packed[Row]):
    """Rows in columns: their texts, and some 8 bytes for each cell of which few are alike, in place of some
    1,000 bytes a row. Each has all `further` columns."""

    def __init__(self, further: Iterable[str], rows: Iterable[Row] = ()) -> None:
        self.further = tuple(further)
        self._columns = {name: Cells() for name in (*COLUMNS, *self.further)}
        self._own = [self._columns[name] for name in COLUMNS]
        self._extra = [(name, self._columns[name]) for name in self.further]
        for row in rows:
            self.append(row)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """The same rows; a further column that one lacks is empty in it."""
        if isinstance(rows, cls):
            return rows
        return cls(dict.fromkeys(name for row in rows for name in row.extra), rows)

    def with_column(self, name: str, cells: Iterable[str]) -> Self:
        """The same rows with other cells in one column, which is a further one where it is not there; what
        they have in common is held once."""
        found = type(self)(dict.fromkeys((*self.further, *({name} - {*COLUMNS}))))
        for column in found._columns:
            if column != name:
                found._columns[column] = self._columns[column]
        given = iter(cells)
        while some := list(islice(given, ROWS_AT_ONCE)):
            found._columns[name].extend(some)
        found._own = [found._columns[column] for column in COLUMNS]
        found._extra = [(column, found._columns[column]) for column in found.further]
        return found

    def append(self, row: Row) -> None:
        for name, cells in zip(COLUMNS, self._own, strict=True):
            cells.append(getattr(row, name))
        for name, cells in self._extra:
            cells.append(row.extra.get(name, ""))

    def extend(self, columns: Columns) -> None:
        """Add several at once, in a fraction of the time; `columns` has all of these rows'."""
        for name, cells in self._columns.items():
            cells.extend(columns[name])

    def in_columns(self, at_once: int) -> Iterator[Columns]:
        """All rows, so many at once."""
        cells = {name: iter(column) for name, column in self._columns.items()}
        for begin in range(0, len(self), at_once):
            many = min(at_once, len(self) - begin)
            yield {name: list(islice(column, many)) for name, column in cells.items()}

    def column(self, name: str) -> Cells:
        """The cells of a column, one of the project's own or a further one."""
        return self._columns[name]

    def __len__(self) -> int:
        return len(self._own[0])

    def made(self, at: int) -> Row:
        return self._row([cells.made(at) for cells in self._columns.values()])

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, zip(*self._columns.values(), strict=True))

    def _row(self, cells: Sequence[str]) -> Row:
        path, split, label, finding, patient, study, mask, *further = cells
        extra = dict(zip(self.further, further, strict=True))
        return Row(path, split, label, finding, patient, study, mask, extra)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class RowsDigest:
    """Hex BLAKE2b-160 of all cells of rows, added one after the other; equal where they say the same.

    further   the columns beside the project's own, of all rows
    """

    def __init__(self, further: Iterable[str]) -> None:
        self._names = (*COLUMNS, *sorted(further))
        self._digest = hashlib.blake2b(digest_size=20)

    def add(self, row: Row) -> None:
        for name in self._names:
            if value := row.value(name):
                self._digest.update(f"{name}\x1f{value}\x1e".encode("utf-8", "surrogatepass"))
        self._digest.update(b"\x1d")

    def add_columns(self, columns: Columns) -> None:
        """Add several rows at once, in a fraction of the time."""
        told = [
            [f"{name}\x1f{cell}\x1e" if cell else "" for cell in columns[name]]
            for name in self._names
            if name in columns and any(columns[name])
        ]
        rows = zip(*told, repeat("\x1d", len(columns["path"])), strict=True)
        self._digest.update("".join(chain.from_iterable(rows)).encode("utf-8", "surrogatepass"))

    @property
    def hex(self) -> str:
        return self._digest.hexdigest()


def patient_of(row: Row) -> str:
    """What must stay together: the patient; without a patient id the study; without both the file.

    The volumes, pages, frames or slices of one file (`file#frame/N`) are one patient's unless ids say
    otherwise; the images of an npz archive are many patients'.
    """
    return patient_of_cells(row.patient_id, row.study_id, row.path)


def patient_of_cells(patient: str, study: str, path: str) -> str:
    """`patient_of` a row with these cells."""
    if patient:
        return f"patient {patient}"
    if study:
        return f"study {study}"
    whole = shared_file(path)
    return f"file {whole}" if whole else f"image {path}"


def counts_alone(row: Row) -> bool:
    """Whether nothing tells whose image it is, so that it counts as a patient of its own."""
    return not (row.patient_id or row.study_id or shared_file(row.path))


def shared_file(path: str) -> str:
    """The file of which a row's path (or the first of its files) names one frame or slice (`file#frame/N`,
    `file#slice/axial/N`), "" for any other path."""
    for first in (path.partition(SEPARATOR)[0], path):
        whole, mark, member = first.rpartition("#")
        if mark and _PART.fullmatch(member):
            return whole
    return ""


def only_filled(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows without further columns that are empty in all of them."""
    filled = {name for row in rows for name, value in row.extra.items() if value}
    return tuple(replace(row, extra={k: v for k, v in row.extra.items() if k in filled}) for row in rows)
