"""Which files a table's rows are about: by path, file name, name without extension, or id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from secondread.cohorts.labels.name_table import NameTable, Way
from secondread.errors import UserError
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.wording.numbers import count

_SAID = {"path": "path", "name": "file name", "stem": "file name without its extension", "id": "id"}


@dataclass(frozen=True)
class Join:
    """Which keys of a table are which files.

    keys   the key of each file that has one
    said   how they were matched, and what is left on either side, each in a line
    """

    keys: Mapping[str, str]
    said: tuple[str, ...]


def join(
    keys: Iterable[str], files: Iterable[str], *, source: str, folder: str | Path, way: Way = "auto"
) -> Join:
    """The files that keys of a table name (see `joined`).

    keys   what the table calls its images; equal ones count once
    files  paths relative to `folder`
    """
    with closing(TemporaryDatabase("which files a table names")) as database:
        table = NameTable(database)
        table.add_names(dict.fromkeys(keys))
        table.add_files(files)
        said = joined(table, source=source, folder=folder, way=way)
        return Join(dict(table.matches()), tuple(said))


def joined(table: NameTable, *, source: str, folder: str | Path, way: Way) -> list[str]:
    """Match names of `source` with files of `folder`, and say how and what is left, each in a line.

    way    how they are compared:

           `path`   equal, or one is the end of the other in whole folders (`set/train/a.png` in the table,
                    `train/a.png` in the folder); the extension may differ where no file has the key's
           `name`   the file name alone, whatever folders the table names
           `stem`   the file name without extension, likewise
           `id`     a folder of the path, or the beginning of the file name, as in `p17/a.png` and `p17_2.png`
                    for the id `p17`; one id may have many files
           `auto`   `path`, then `name` and `stem` for keys without folders; `id` where these find nothing

    Raises UserError where a name fits several files (but by `id`) or a file several names, and where none
    fits.
    """
    table.match(way)
    images = count(table.names, "image")
    if several := table.several.count:
        raise UserError(
            f"{source}: of its {images} {several:,} may be several files in {folder}: "
            f"{table.several.few(3)}; give a column with paths below {folder}, or a folder with one file for "
            "each"
        )
    if table.twice.count:
        raise UserError(
            f"{source}: {count(table.twice.count, 'file')} named in several ways: {table.twice.few(3)}; a "
            "file has one name in the table"
        )
    matched = table.matched
    if not matched:
        raise UserError(
            f"{source}: none of its {images} is among {table.files:,} in {folder}: the table "
            f"says {table.first_names().few(2)}, the folder has {table.first_files().few(2)}; give another "
            "column or folder"
        )
    ways = " and ".join(_SAID[how] for how in table.ways)
    said = [f"{source}: has rows of {count(matched, 'image')} in {folder}, found by {ways}"]
    unmatched, left = table.unmatched(), table.left()
    if unmatched.count:
        said.append(
            f"{source}: names {count(unmatched.count, 'image')} that {folder} does not hold; left out: "
            f"{unmatched.few()}"
        )
    if left.count:
        said.append(
            f"{source}: has no row of {count(left.count, 'image')} in {folder}; without a label: {left.few()}"
        )
    return said
