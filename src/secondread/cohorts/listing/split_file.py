"""A published list of which image plays which part: the `data.json` of the DDAD repartition.

    {"train": {"0": [names], "unlabeled": {"0": [names], "1": [names]}}, "test": {"0": [names], "1": [names]}}

0 is normal, 1 abnormal; names are file names. `unlabeled` is the pool from which an unlabelled cohort is
made (Cai et al., Dual-distribution discrepancy for anomaly detection in chest X-rays, MICCAI 2022).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from itertools import count as count_up
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from secondread.cohorts.labels.image_names import without_extension
from secondread.cohorts.row import Row
from secondread.cohorts.unlabelled import POOL, POOL_ORDER, UNLABELLED
from secondread.errors import UserError
from secondread.outputs.temporary_database import TemporaryDatabase, restored, stored
from secondread.packed import Packed
from secondread.strict.json_text import parse_json
from secondread.strict.limits import Limits
from secondread.strict.plain_file import Unfit, read_plain
from secondread.texts import Texts
from secondread.wording.lists import few
from secondread.wording.numbers import count

LISTS = Limits(length=256 << 20, values=4_000_000)

_LABELS = {"0": "normal", "1": "abnormal"}
_POOLS = ("unlabeled", "unlabelled")
_FORM = "it needs train.0, train.unlabeled.0, train.unlabeled.1, test.0 and test.1 (lists of file names)"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a split file says of one name; `position` is its place in a list of the pool, else None."""

    name: str
    split: str
    label: str
    position: int | None = None

    def placed(self, row: Row) -> Row:
        """The row with this split and label, and the columns of the pool where it is in it."""
        row = replace(row, split=self.split, label=self.label, finding="")
        if self.position is None:
            return row
        return replace(row, extra={**row.extra, POOL: UNLABELLED, POOL_ORDER: str(self.position)})


@dataclass(frozen=True)
class Found:
    """Which file each listed name is, the names that have no file, and how many files are in no list."""

    source: str
    files: ListedFiles
    missing: Sequence[str]
    unlisted: int

    def remarks(self, folder: str | Path) -> list[str]:
        """What is left out, on the list's side and on the folder's, each in one line."""
        said = []
        if self.missing:
            said.append(
                f"{len(self.missing)} of {len(self.missing) + len(self.files)} names in {self.source} "
                f"have no file in {folder} and are left out: {few(self.missing)}"
            )
        if self.unlisted:
            of = f"in {folder} {'is' if self.unlisted == 1 else 'are'} in no list of {self.source}"
            said.append(f"{count(self.unlisted, 'file')} {of}, and left out")
        return said


class PackedLists(Packed[Listed]):
    """What a split file says of all its names, in the order of its lists; some bytes a name and the name."""

    def __init__(self, listed: Iterable[Listed]) -> None:
        self._names = Texts()
        self._parts: list[tuple[str, str]] = []
        self._part_of, self._positions = array("B"), array("q")
        for each in listed:
            part = (each.split, each.label)
            if part not in self._parts:
                self._parts.append(part)
            self._names.append(each.name)
            self._part_of.append(self._parts.index(part))
            self._positions.append(-1 if each.position is None else each.position)

    def __len__(self) -> int:
        return len(self._positions)

    def made(self, at: int) -> Listed:
        position = self._positions[at]
        split, label = self._parts[self._part_of[at]]
        return Listed(self._names[at], split, label, None if position < 0 else position)


class ListedFiles(Mapping[str, Listed]):
    """What is said of each file that a name fits, in the order of the names, in a table on the disk."""

    TABLE = "listed_files"

    def __init__(self, database: TemporaryDatabase, listed: Sequence[Listed]) -> None:
        self._database, self._listed = database, listed
        database.run(f"CREATE TABLE {self.TABLE} (path NOT NULL, at INTEGER NOT NULL)")

    def fill(self, found: Iterable[tuple[str, int]]) -> None:
        """Paths, and which name each is."""
        self._database.add(
            f"INSERT INTO {self.TABLE} VALUES (?, ?)",  # noqa: S608
            ((stored(path), at) for path, at in found),
        )
        self._database.run(f"CREATE INDEX listed_by_path ON {self.TABLE} (path, at)")

    def __getitem__(self, path: str) -> Listed:
        asked = f"SELECT at FROM {self.TABLE} WHERE path = ?"  # noqa: S608
        for (at,) in self._database.rows(asked, (stored(path),)):
            return self._listed[at]
        raise KeyError(path)

    def __iter__(self) -> Iterator[str]:
        rows = self._database.rows(f"SELECT path FROM {self.TABLE} ORDER BY at")  # noqa: S608
        return (restored(path) for (path,) in rows)

    def __len__(self) -> int:
        return int(self._database.one(f"SELECT count(*) FROM {self.TABLE}")[0])  # noqa: S608


@dataclass(frozen=True)
class SplitFile:
    """All names of a split file, in the order of its lists."""

    source: str
    listed: Sequence[Listed]

    @classmethod
    def read(cls, path: str | Path) -> SplitFile:
        """The lists of a JSON file; `unlabelled` may be spelt with one l or two, and lists may be absent.

        Raises UserError where the file cannot be read, has another form, names nothing, or a name twice.
        """
        try:
            data = parse_json(read_plain(path, LISTS.length), LISTS)
        except FileNotFoundError:
            raise UserError(f"{path}: no such split file; give the path of a JSON file") from None
        except OSError as error:
            raise UserError(f"{path}: the split file cannot be read ({error.strerror})") from None
        except Unfit as error:
            raise UserError(f"{path}: not JSON that is taken ({error}); {_FORM}") from None
        listed = PackedLists(_lists(str(path), data))
        if not listed:
            raise UserError(f"{path}: no name is in any list; {_FORM}")
        if twice := _twice(listed):
            raise UserError(
                f"{path}: {len(twice)} names are listed more than once: {few(twice)}; an image plays one part"
            )
        return cls(str(path), listed)

    def find(self, paths: Iterable[str], folder: str | Path, database: TemporaryDatabase) -> Found:
        """The file of each name among a folder's paths (relative, `/` between folders), as long as a database
        is there.

        A name fits the file of that name, else files whose name differs in the extension alone (`x.png` in
        the list, `x.dcm` in the folder). Raises UserError where a name fits several files, several names
        one, or no name any.
        """
        database.run("CREATE TABLE names_and_files (stem, is_file INTEGER, at INTEGER, name, path)")
        put = "INSERT INTO names_and_files VALUES (?, ?, ?, ?, ?)"
        database.add(put, (_cells(at, each.name, None) for at, each in enumerate(self.listed)))
        number = count_up()
        database.add(put, (_cells(next(number), path, path) for path in paths))
        there = next(number)
        missing: list[int] = []
        several: list[tuple[int, str]] = []
        files = ListedFiles(database, self.listed)
        rows = database.rows(
            "SELECT stem, is_file, at, name, path FROM names_and_files ORDER BY stem, is_file, at"
        )

        def found() -> Iterator[tuple[str, int]]:
            for _, some in groupby(rows, lambda row: row[0]):
                names: list[tuple[int, Any]] = []
                by_name: dict[Any, list[str]] = defaultdict(list)
                own: dict[str, int] = {}
                for _, is_file, at, name, path in some:
                    if not is_file:
                        names.append((at, name))
                    elif names:
                        by_name[name].append(restored(path))
                alike = list(chain.from_iterable(by_name.values()))
                for at, name in names:
                    fitting = by_name.get(name) or alike
                    if not fitting:
                        missing.append(at)
                    elif len(fitting) > 1:
                        first = ", ".join(sorted(fitting)[:2])
                        several.append((at, f"{self.listed[at].name} ({first})"))
                    elif (path := fitting[0]) in own:
                        both = f"{self.listed[own[path]].name} and {self.listed[at].name}"
                        several.append((at, f"{both} (both {path})"))
                    else:
                        own[path] = at
                        yield path, at

        files.fill(found())
        database.run("DROP TABLE names_and_files")
        if several:
            raise UserError(
                f"{self.source}: {len(several)} names do not fit one file of {folder} each: "
                f"{few([told for _, told in sorted(several)], 3)}; give a folder that holds one file for "
                "each name"
            )
        lacking = [self.listed[at].name for at in sorted(missing)]
        if not files:
            raise UserError(
                f"{self.source}: none of its {len(lacking)} names is a file in {folder}: {few(lacking)}; "
                "give the folder that holds them"
            )
        return Found(self.source, files, lacking, there - len(files))


def _cells(at: int, name: str, path: str | None) -> tuple[object, ...]:
    name = PurePosixPath(name).name
    of_file = None if path is None else stored(path)
    return stored(without_extension(name)), path is not None, at, stored(name), of_file


def _twice(listed: PackedLists) -> list[str]:
    """The names that stand twice, in the order of the lists."""
    hashes = np.fromiter((hash(each.name) for each in listed), np.int64, len(listed))
    marks, numbers = np.unique(hashes, return_counts=True)
    alike = np.flatnonzero(np.isin(hashes, marks[numbers > 1])).tolist()
    counts = Counter(listed[at].name for at in alike)
    return [name for name, number in counts.items() if number > 1]


def _lists(source: str, data: Any) -> Iterator[Listed]:
    for split, parts in _named(source, "", data, ("train", "test")):
        allowed = (*_LABELS, *(_POOLS if split == "train" else ()))
        for part, content in _named(source, f"{split}.", parts, allowed):
            where = f"{split}.{part}"
            if part not in _POOLS:
                yield from _names(source, where, content, split, part)
                continue
            for label, names in _named(source, f"{where}.", content, tuple(_LABELS)):
                for i, each in enumerate(_names(source, f"{where}.{label}", names, split, label)):
                    yield replace(each, position=i)


def _named(source: str, where: str, data: Any, allowed: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if not isinstance(data, dict):
        raise UserError(f"{source}: {where.rstrip('.') or 'the file'} is no object with names; {_FORM}")
    if unknown := [key for key in data if key not in allowed]:
        raise UserError(f"{source}: {where}{unknown[0]} is unknown; {_FORM}")
    yield from data.items()


def _names(source: str, where: str, names: Any, split: str, label: str) -> Iterator[Listed]:
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"{source}: {where} is no list of file names; {_FORM}")
    for name in names:
        yield Listed(name, split, _LABELS[label])
