"""Which files the names in a table are, found in a table on the disk: of neither is a list held."""

from __future__ import annotations

from array import array
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Literal

from secondread.cohorts.labels.image_names import without_extension
from secondread.outputs.temporary_database import TemporaryDatabase, restored, stored
from secondread.wording.lists import MOST, Counted

Way = Literal["auto", "path", "name", "stem", "id"]
_AFTER_AN_ID = "_-. "
_FOLDERS, _BARE, _FILE = range(3)
"""What ends a path: a name of the table with folders or without, or a file. Names come before files."""


@dataclass
class NameTable:
    """Names of images in a table, and files; `match` finds which are which.

    names, files   how many there are
    several        names that fit several files, with two of them each
    twice          files that several names fit: `first and second (both file)`
    ways           how names were matched
    """

    database: TemporaryDatabase
    names: int = 0
    files: int = 0
    several: Counted = field(default_factory=Counted)
    twice: Counted = field(default_factory=Counted)
    ways: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database.run("CREATE TABLE names (key INTEGER PRIMARY KEY, name NOT NULL)")
        self.database.run("CREATE TABLE labelled (file INTEGER PRIMARY KEY, path UNIQUE NOT NULL)")
        self.database.run("CREATE TABLE matched (file INTEGER PRIMARY KEY, key INTEGER NOT NULL)")

    def add_names(self, names: Iterable[str]) -> None:
        """Names that differ; they are numbered from 0 on."""

        def numbered() -> Iterator[tuple[int, str | bytes]]:
            for name in names:
                yield self.names, stored(name)
                self.names += 1

        self.database.add("INSERT INTO names VALUES (?, ?)", numbered())

    def add_files(self, paths: Iterable[str]) -> None:
        """Paths, `/` between folders; equal ones count once."""
        self.database.add(
            "INSERT OR IGNORE INTO labelled (path) VALUES (?)", ((stored(path),) for path in paths)
        )
        self.files = int(self.database.one("SELECT count(*) FROM labelled")[0])

    def match(self, way: Way) -> None:
        """Find the file of each name by a way of comparing (see `join.join`); none counts where `several` or
        `twice` say something."""
        database = self.database
        database.run("CREATE TABLE found (key INTEGER PRIMARY KEY, file INTEGER)")
        first: dict[str, int] = {}
        several: list[tuple[int, str]] = []
        for by_stem in (False, True):
            if way not in ("id", "name" if by_stem else "stem"):
                self._scan(way, by_stem, first, several)
        self.several.first = [text for _, text in several]
        self.ways = sorted(first, key=lambda how: first[how])
        if self.several.count:
            return
        if way in ("auto", "id") and not first:
            self._match_ids()
            return
        for one in self._twice():
            self.twice.add(one)
        if not self.twice.count:
            database.run(
                "INSERT INTO matched SELECT file, key FROM found WHERE file IS NOT NULL ORDER BY file"
            )

    def matches(self) -> Iterator[tuple[str, str]]:
        """File and name of each match, in the order of the names and then of the files."""
        self._index()
        asked = (
            "SELECT path, name FROM matched JOIN names USING (key) JOIN labelled USING (file) "
            "ORDER BY key, file"
        )
        return ((restored(path), restored(name)) for path, name in self.database.rows(asked))

    @property
    def matched(self) -> int:
        """How many files have a name."""
        return int(self.database.one("SELECT count(*) FROM matched")[0])

    def unmatched(self) -> Counted:
        """Names that no file has."""
        self._index()
        named = int(self.database.one("SELECT count(DISTINCT key) FROM matched")[0])
        if named == self.names:
            return Counted()
        asked = "SELECT name FROM names WHERE key NOT IN (SELECT key FROM matched) ORDER BY key LIMIT ?"
        return Counted(self.names - named, self._texts(asked))

    def left(self) -> Counted:
        """Files that have no name."""
        if self.files == self.matched:
            return Counted()
        asked = "SELECT path FROM labelled WHERE file NOT IN (SELECT file FROM matched) ORDER BY file LIMIT ?"
        return Counted(self.files - self.matched, self._texts(asked))

    def first_names(self) -> Counted:
        return Counted(self.names, self._texts("SELECT name FROM names ORDER BY key LIMIT ?"))

    def first_files(self) -> Counted:
        return Counted(self.files, self._texts("SELECT path FROM labelled ORDER BY file LIMIT ?"))

    def _scan(self, way: Way, by_stem: bool, first: dict[str, int], several: list[tuple[int, str]]) -> None:
        """Match the names that are left by the ends of paths, with or without extensions.

        Ends are written backwards. So in their order what ends with a name follows that name, and what a name
        ends with comes before it: one look at all, with only those in hand that the last one begins with.
        """
        database = self.database
        database.run("CREATE TABLE ends (end BLOB, kind INTEGER, number INTEGER)")
        left = "SELECT key, name FROM names WHERE key NOT IN (SELECT key FROM found)"
        ends = (self._end_of(key, restored(name), way, by_stem) for key, name in database.rows(left))
        database.add("INSERT INTO ends VALUES (?, ?, ?)", filter(None, ends))
        if not database.one("SELECT EXISTS (SELECT 1 FROM ends)")[0]:
            database.run("DROP TABLE ends")
            return
        database.add(
            "INSERT INTO ends VALUES (?, ?, ?)",
            (
                (_backwards(restored(path).split("/"), by_stem), _FILE, file)
                for file, path in database.rows("SELECT file, path FROM labelled")
            ),
        )
        database.run("CREATE TABLE fits (key INTEGER, file INTEGER)")

        def judged() -> Iterator[tuple[int, int | None]]:
            for end, fitting in self._fits(way == "auto" and not by_stem):
                how = way if way in ("name", "stem") else "path"
                if end.kind == _BARE:
                    how = "stem" if by_stem else "name"
                for key in end.keys:
                    if len(fitting) > 1:
                        two = sorted(map(self._path, fitting))[:2]
                        self.several.count += 1
                        insort(several, (key, f"{self._name(key)} ({', '.join(two)})"))
                        del several[MOST:]
                        yield key, None
                    else:
                        first[how] = min(key, first.get(how, key))
                        yield key, fitting[0]

        database.add("INSERT INTO fits VALUES (?, ?)", judged())
        database.run("INSERT INTO found SELECT key, file FROM fits ORDER BY key")
        database.run("DROP TABLE fits")
        database.run("DROP TABLE ends")

    def _end_of(self, key: int, name: str, way: Way, by_stem: bool) -> tuple[bytes, int, int] | None:
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            return None
        kind = _BARE if len(parts) == 1 and way == "auto" else _FOLDERS
        return _backwards(parts[-1:] if way in ("name", "stem") else parts, by_stem), kind, key

    def _fits(self, top_first: bool) -> Iterator[tuple[_End, Sequence[int]]]:
        """The names of one end after the other, and the files that fit them best.

        top_first   for a name without folders the file of that name in no folder counts before all others
        """
        open_ends: list[_End] = []
        rows = self.database.rows("SELECT end, kind, number FROM ends ORDER BY end, kind, number")
        for end, some in groupby(rows, lambda row: bytes(row[0])):
            while open_ends and not end.startswith(open_ends[-1].end):
                yield from _closed(open_ends.pop())
            new = _End(end, longest=next((one.own for one in reversed(open_ends) if one.own), array("q")))
            open_ends.append(new)
            for _, kind, number in some:
                if kind != _FILE:
                    new.kind = kind
                    new.keys.append(number)
                    continue
                new.own.append(number)
                for one in open_ends:
                    if one.keys:
                        one.take(number, self._path)
            if top_first and new.kind == _BARE and new.own:
                new.top = True
        for one in reversed(open_ends):
            yield from _closed(one)

    def _twice(self) -> Iterator[str]:
        """Files that several names fit, in the order of these names."""
        asked = (
            "SELECT key, file FROM found WHERE file IN (SELECT file FROM found WHERE file IS NOT NULL "
            "GROUP BY file HAVING count(*) > 1) ORDER BY key"
        )
        owner: dict[int, int] = {}
        for key, file in self.database.rows(asked):
            if owner.setdefault(file, key) != key:
                yield f"{self._name(owner[file])} and {self._name(key)} (both {self._path(file)})"

    def _match_ids(self) -> None:
        """The files of each id; of several ids in one path, the one that stands deepest, and the longest."""
        database = self.database
        database.run("CREATE TABLE ids (id PRIMARY KEY, key INTEGER) WITHOUT ROWID")
        names = database.rows("SELECT key, name FROM names ORDER BY key")
        ids = ((stored(restored(name).strip("/")), key) for key, name in names)
        database.add("INSERT OR REPLACE INTO ids VALUES (?, ?)", (one for one in ids if one[0]))

        @lru_cache(4096)
        def key_of(text: str) -> int | None:
            asked = database.rows("SELECT key FROM ids WHERE id = ?", (stored(text),))
            return next((int(key) for (key,) in asked), None)

        def matched() -> Iterator[tuple[int, int]]:
            for file, path in database.rows("SELECT file, path FROM labelled ORDER BY file"):
                *folders, name = restored(path).split("/")
                stem = without_extension(name)
                ends = [len(stem), *(at for at in range(len(stem) - 1, 0, -1) if stem[at] in _AFTER_AN_ID)]
                candidates = [*(stem[:end] for end in ends), *reversed(folders)]
                key = next((key for each in candidates if (key := key_of(each)) is not None), None)
                if key is not None:
                    yield file, key

        database.add("INSERT INTO matched VALUES (?, ?)", matched())
        self.ways = ["id"]

    def _index(self) -> None:
        self.database.run("CREATE INDEX IF NOT EXISTS matched_by_key ON matched (key, file)")

    def _name(self, key: int) -> str:
        return restored(self.database.one("SELECT name FROM names WHERE key = ?", (key,))[0])

    def _path(self, file: int) -> str:
        return restored(self.database.one("SELECT path FROM labelled WHERE file = ?", (file,))[0])

    def _texts(self, sql: str) -> list[str]:
        return [restored(text) for (text,) in self.database.rows(sql, (MOST,))]


@dataclass
class _End:
    """An end of paths: the names that are it, the files that are it (`own`) or end with it (`fitting`: one,
    or the two whose paths are first), and the files that are the longest end of it."""

    end: bytes
    longest: array[int]
    kind: int = _FOLDERS
    keys: array[int] = field(default_factory=lambda: array("q"))
    own: array[int] = field(default_factory=lambda: array("q"))
    fitting: list[int] = field(default_factory=list)
    top: bool = False

    def take(self, file: int, path: Callable[[int], str]) -> None:
        self.fitting.append(file)
        if len(self.fitting) > 2:
            self.fitting = sorted(self.fitting, key=path)[:2]


def _closed(end: _End) -> Iterator[tuple[_End, Sequence[int]]]:
    fitting = end.own if end.top else end.fitting or end.longest
    if end.keys and fitting:
        yield end, fitting


def _backwards(parts: Sequence[str], by_stem: bool) -> bytes:
    *folders, last = parts
    end = without_extension(last) if by_stem else last
    return f"{'/'.join([end, *reversed(folders)])}/".encode("utf-8", "surrogatepass")
