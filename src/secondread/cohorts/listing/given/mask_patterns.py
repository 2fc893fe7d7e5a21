"""Masks that are found by patterns of their paths: `{stem}_mask.png`, `{folder}/../masks/{stem}.png`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from secondread.cohorts.listing.given.mask_files import FIELD, filled, mask_files
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR
from secondread.natural_order import natural
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.wording.lists import Counted
from secondread.wording.numbers import count

_FIELDS = ("stem", "name", "folder", "parent")


class FoundMasks:
    """The masks of images that patterns found, in a table on the disk.

    notes  what is to be said of them
    """

    def __init__(self, database: TemporaryDatabase) -> None:
        self._database = database
        self.notes: list[str] = []
        database.run("CREATE TABLE fitting (number INTEGER, image TEXT, mask TEXT)")
        database.run("CREATE TABLE outlined (path TEXT PRIMARY KEY, mask TEXT) WITHOUT ROWID")

    def has(self, path: str) -> bool:
        """Whether a file is a mask."""
        return self.of(path) is None

    def of(self, path: str) -> str | None:
        """The mask of an image (several are joined by `|`), empty where it has none; None of a mask."""
        for (mask,) in self._database.rows("SELECT mask FROM outlined WHERE path = ?", (path,)):
            return None if mask is None else str(mask)
        return ""

    def add(self, fitting: Iterable[tuple[int, str, str]]) -> None:
        """Number and path of an image, and a file that is its mask."""
        self._database.add("INSERT INTO fitting VALUES (?, ?, ?)", fitting)

    def join(self, files: int) -> None:
        """Take all files of an image for its mask, of so many files."""
        database = self._database
        database.run("INSERT INTO outlined SELECT DISTINCT mask, NULL FROM fitting ORDER BY mask")
        images = files - int(database.one("SELECT count(*) FROM outlined")[0])
        found, several = 0, Counted()

        def outlined() -> Iterator[tuple[str, str]]:
            nonlocal found
            rows = database.rows(
                "SELECT DISTINCT number, image, mask FROM fitting "
                "WHERE image NOT IN (SELECT mask FROM fitting) ORDER BY number, mask"
            )
            for image, some in groupby(rows, lambda row: str(row[1])):
                masks = sorted((mask for *_, mask in some), key=natural)
                found += 1
                if len(masks) > 1:
                    several.add(image)
                yield image, SEPARATOR.join(masks)

        database.add("INSERT INTO outlined VALUES (?, ?)", outlined())
        database.run("DROP TABLE fitting")
        self.notes = [f"{count(found, 'image')} of {images:,} with a mask by --mask"]
        if several.count:
            self.notes.append(
                f"{count(several.count, 'image')} with several masks, which count as one: {several.few(3)}"
            )


def masks_by_patterns(
    files: FileTable, database: TemporaryDatabase, patterns: Sequence[str], source: str
) -> FoundMasks:
    """The masks of images among the paths of files.

    A pattern names the masks of an image: `{stem}` is its file name without extension, `{name}` with it,
    `{folder}` its folder and `{parent}` the name of that folder; `*` and `?` stand for any letters, and for
    any one, but `/`. A pattern without `/` is sought beside the image, any other in the folder that is
    indexed unless it begins with `{folder}`. All files that fit an image by any pattern are its mask
    together. A mask is no image of its own.

    Raises UserError for a pattern that cannot be read, that fits an image itself, or that fits nothing.
    """
    found = FoundMasks(database)
    files.sort_paths()
    for pattern in patterns:
        _check(pattern)
        any_fits = False

        def fitting(pattern: str = pattern) -> Iterator[tuple[int, str, str]]:
            nonlocal any_fits
            for number, image, path in mask_files(pattern, files, database):
                if path != image:
                    any_fits = True
                    yield number, image, path

        found.add(fitting())
        first = next(files.paths(), None)
        if not any_fits and first is not None:
            example = "".join(filled(pattern, first))
            raise UserError(
                f"--mask {pattern}: fits no file of {source}; for {first} it would be {example}; fields "
                f"are {', '.join(f'{{{name}}}' for name in _FIELDS)}"
            )
    found.join(files.count)
    return found


def _check(pattern: str) -> None:
    names = [found[1] for found in FIELD.finditer(pattern) if found[1] is not None]
    if unknown := [name for name in names if name not in _FIELDS]:
        raise UserError(
            f"--mask {pattern}: {{{unknown[0]}}} is unknown; fields are "
            f"{', '.join(f'{{{name}}}' for name in _FIELDS)}"
        )
    if not {"stem", "name", "folder", "parent"} & set(names):
        raise UserError(f"--mask {pattern}: names one file for all images; use {{stem}} for the image's name")
