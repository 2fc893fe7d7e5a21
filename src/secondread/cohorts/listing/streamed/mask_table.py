"""Which pictures of an archive are masks of which, in a table on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath

from secondread.cohorts.listing.folder_names import MaskNames, part_masks, stem_of, without_endings
from secondread.outputs.temporary_database import TemporaryDatabase

Named = tuple[str, int, str, bool]


class MaskTable:
    """The masks that names tell, and masks that fit no one image (lone ones); none until `find`."""

    def __init__(self, database: TemporaryDatabase) -> None:
        self._database = database
        self._some = self._any_lone = False

    def find(self, pictures: Iterable[tuple[int, str]]) -> None:
        """See `folder_names.part_masks`. `pictures` are numbers and paths, and may be gone through once."""
        database = self._database
        database.run("CREATE TABLE named (key TEXT, number INTEGER, path TEXT, likely INTEGER)")
        database.add("INSERT INTO named VALUES (?, ?, ?, ?)", _named(pictures))
        if not database.one("SELECT EXISTS (SELECT 1 FROM named WHERE likely)")[0]:
            database.run("DROP TABLE named")
            return
        self._some = True
        database.run("CREATE TABLE masks (path TEXT PRIMARY KEY, mask TEXT) WITHOUT ROWID")
        rows = database.rows(
            "SELECT key, number, path FROM named WHERE key IN (SELECT key FROM named WHERE likely) "
            "ORDER BY key, number"
        )
        database.run("CREATE TABLE lone (stage INTEGER, number INTEGER, path TEXT)")
        for _, group in groupby(rows, lambda row: row[0]):
            numbers = {path: number for _, number, path in group}
            found = part_masks(list(numbers))
            images = set(found.images)
            said = [(path, None) for path in numbers if path not in images]
            database.add("INSERT INTO masks VALUES (?, ?)", [*said, *found.of.items()])
            for stage, paths in enumerate((found.lone, found.lone_again, found.lone_in_folders)):
                database.add(
                    "INSERT INTO lone VALUES (?, ?, ?)", ((stage, numbers[path], path) for path in paths)
                )
        self._any_lone = bool(database.one("SELECT EXISTS (SELECT 1 FROM lone)")[0])

    def is_image(self, path: str) -> bool:
        return not self._some or (None,) not in self._of(path)

    def of(self, path: str) -> str:
        """The mask of an image, or empty."""
        return next((str(mask) for (mask,) in self._of(path)), "") if self._some else ""

    @property
    def lone(self) -> Iterator[str]:
        """Masks that fit no one image and were not taken."""
        if not self._any_lone:
            return iter(())
        return (path for (path,) in self._database.rows("SELECT path FROM lone ORDER BY stage, number"))

    def name_lone(self, name: Callable[[str], str]) -> None:
        """Give each lone mask the name under which `lone_named` finds it; of several the last counts."""
        if self._any_lone:
            self._database.run("CREATE TABLE lone_names (name PRIMARY KEY, path TEXT) WITHOUT ROWID")
            names = ((name(path), path) for path in self.lone)
            self._database.add("INSERT OR REPLACE INTO lone_names VALUES (?, ?)", names)

    def lone_named(self, name: str) -> str:
        """The lone mask of a name, or empty."""
        if not self._any_lone:
            return ""
        rows = self._database.rows("SELECT path FROM lone_names WHERE name = ?", (name,))
        return next((str(path) for (path,) in rows), "")

    def take(self, masks: Iterable[str]) -> None:
        """These masks are no lone ones."""
        if self._any_lone:
            self._database.run("CREATE INDEX lone_by_path ON lone (path)")
            self._database.add("DELETE FROM lone WHERE path = ?", ((mask,) for mask in masks))

    def _of(self, path: str) -> list[tuple[str | None]]:
        return list(self._database.rows("SELECT mask FROM masks WHERE path = ?", (path,)))


def _named(pictures: Iterable[tuple[int, str]]) -> Iterator[Named]:
    names = MaskNames()
    for number, path in pictures:
        pure = PurePosixPath(path)
        yield without_endings(stem_of(pure)), number, path, names.may_be(pure)
