"""The rows of a table that an earlier run wrote, read from the file each time they are gone through."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from secondread import tables
from secondread.cohorts.sequences import PLACES
from secondread.errors import UserError
from secondread.texts import Places, Texts


class EarlierRows:
    """The rows that may hold, each path once: at its first place, as it stands last.

    names      the columns that the table has to have; those of frames may be missing and are empty then
    with_maps  rows without a map are left out, as are rows with an error, torn and damaged ones
    kept       for whoever decides: a flag for each row, in order

    Raises UserError where the table has other columns.
    """

    def __init__(self, path: Path, names: Sequence[str], *, with_maps: bool) -> None:
        self.path, self.names, self.with_maps = path, tuple(names), with_maps
        self.kept = bytearray()
        paths = Texts(row[0] for row in self._all())
        again = {paths[at] for at in Places(paths).doubtful.tolist()}
        self._last = {row[0]: row for row in self._all() if row[0] in again} if again else {}

    def __iter__(self) -> Iterator[list[str]]:
        last = dict(self._last)
        for row in self._all():
            if row[0] not in self._last:
                yield row
            elif row[0] in last:
                yield last.pop(row[0])

    def _all(self) -> Iterator[list[str]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            rows = (cells for _, cells in tables.read(_whole_lines(file)))
            header = next(rows, [])
            if not header:
                return
            without = tuple(name for name in self.names if name not in PLACES)
            if tuple(header) not in (self.names, without):
                raise UserError(
                    f"{self.path}: a table with other columns than this bundle's readings have; "
                    "choose another folder with -o"
                )
            map_at, error_at = header.index("map"), header.index("error")
            for row in rows:
                if len(row) != len(header) or row[error_at] or (self.with_maps and not row[map_at]):
                    continue
                cells = dict(zip(header, row, strict=True))
                yield row if tuple(header) == self.names else [cells.get(name, "") for name in self.names]


def _whole_lines(file: Iterator[bytes]) -> Iterator[str]:
    """The lines as a text stream opened with `newline=""` gives them, but for a last one without an end."""
    for raw in file:
        if raw.endswith(b"\n"):
            yield from io.StringIO(raw.decode("utf-8", "replace"), newline="")
