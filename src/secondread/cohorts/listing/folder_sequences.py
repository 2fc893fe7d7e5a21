"""Pictures of which each folder's are the frames of one study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from secondread.cohorts.listing.streamed.group_table import GroupTable
from secondread.cohorts.listing.streamed.row_table import RowTable
from secondread.cohorts.row import Row, shared_file
from secondread.cohorts.sequences import place_of
from secondread.natural_order import natural
from secondread.outputs.temporary_database import TemporaryDatabase


def sequences_of_folders(
    database: TemporaryDatabase, rows: Iterable[Row], base: str, every: int = 1
) -> RowTable:
    """Rows of pictures of which each folder's are one study, in the order in which people count their names,
    each `every`th of them. `base` names the folder that all paths are relative to. Rows that are frames of a
    file already stay as they are. The rows of one folder are held at a time."""
    table = GroupTable(database, "of_folders")
    table.add((_folder(row), "", row) for row in rows)
    found = RowTable(database, "of_sequences")

    def framed() -> Iterator[tuple[tuple[int, int, int], Row]]:
        for members in table:
            number, folder = members[0].number, _folder(members[0].row)
            inside = [one.row for one in members]
            if shared_file(folder) or len(inside) == 1:
                yield from (((number, at, 0), row) for at, row in enumerate(inside))
                continue
            ordered = sorted(inside, key=lambda row: natural(row.path))
            study = base if folder == "." else folder
            for at in range(0, len(ordered), every):
                row = ordered[at]
                yield (
                    (number, at, 0),
                    replace(row, study_id=study, extra={**row.extra, **place_of(at)}),
                )

    found.add(framed())
    table.remove()
    return found


def _folder(row: Row) -> str:
    return row.path if shared_file(row.path) else str(PurePosixPath(row.path).parent)
