"""A table of vectors as a manifest: its lines without the numbers, each with a path that names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from secondread.cohorts.columns import Header, refuse_other_length
from secondread.images.formats.vector_table import MEMBER, value_columns

Lines = Iterator[tuple[int, list[str]]]


def as_rows_of_images(path: Path, lines: Lines) -> Lines:
    """The lines of a manifest as they are; those of a table that has no column `path`, and columns of numbers
    (`images.formats.vector_table`), with a path in the numbers' place: `features.csv#row/0`."""
    head = next(lines, None)
    if head is None:
        return
    number, written = head
    names = [name.strip() for name in written]
    if "path" in Header.of(str(path), names).names:
        yield head
        yield from lines
        return
    below = list(lines)
    values = set(value_columns(names, [cells for _, cells in below])) if below else set()
    if not values:
        yield head
        yield from below
        return
    kept = [column for column in range(len(names)) if column not in values]
    yield number, ["path", *(written[column] for column in kept)]
    for row, (line, cells) in enumerate(below):
        refuse_other_length(str(path), line, cells, written)
        yield line, [f"{path.name}#{MEMBER}/{row}", *(cells[column] for column in kept)]
