"""Files that are the channels of one image, told by a word in their names: `p1_t1.nii.gz`,
`p1_flair.nii.gz`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from secondread.cohorts.listing.folder_names import MASK_ENDING, stem_of
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.listing.streamed.group_table import GroupTable, Member
from secondread.cohorts.listing.streamed.mask_table import MaskTable
from secondread.cohorts.listing.streamed.row_table import RowTable
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR
from secondread.outputs.temporary_database import TemporaryDatabase
from secondread.wording.lists import few


@dataclass(frozen=True)
class Group:
    """Files whose paths are the same but for a word.

    place   the path around the word, a NUL in its place
    of      the file of each word
    number  of the first of them among all rows
    """

    place: str
    of: dict[str, Row]
    number: int


class Groups:
    """Groups of files, in a table on the disk.

    A word stands by itself in a path (`t1` is not in `t1ce`), in any case; of several the last counts.

    words   in small letters
    other   is told each file that names none of the words
    twice   files that would be a second one of a word, once all groups were gone through
    """

    def __init__(
        self,
        database: TemporaryDatabase,
        rows: Iterable[Row],
        words: Sequence[str],
        other: Callable[[Row], None],
    ) -> None:
        longest_first = sorted(words, key=len, reverse=True)
        self._pattern = re.compile(
            rf"(?<![^\W_])({'|'.join(map(re.escape, longest_first))})(?![^\W_])", re.IGNORECASE
        )
        self._table = GroupTable(database, "of_words")
        self._twice: list[tuple[int, SetAside]] = []
        self._table.add(self._placed(rows, other))

    def __iter__(self) -> Iterator[Group]:
        for members in self._table:
            group: dict[str, Row] = {}
            for one in members:
                if group.setdefault(one.word, one.row) is not one.row:
                    again = SetAside(one.row.path, "another file is this channel already")
                    self._twice.append((one.number, again))
            yield Group(self._around(members[0]), group, members[0].number)
        self._table.remove()

    @property
    def twice(self) -> list[SetAside]:
        return [aside for _, aside in sorted(self._twice, key=lambda pair: pair[0])]

    def _placed(self, rows: Iterable[Row], other: Callable[[Row], None]) -> Iterator[tuple[str, str, Row]]:
        for row in rows:
            if (found := self._last(row.path)) is None:
                other(row)
            else:
                yield _around(row.path, found), found[1].lower(), row

    def _last(self, path: str) -> re.Match[str] | None:
        found = deque(self._pattern.finditer(path), maxlen=1)
        return found[0] if found else None

    def _around(self, one: Member) -> str:
        found = self._last(one.row.path)
        assert found is not None
        return _around(one.row.path, found)


def _around(path: str, word: re.Match[str]) -> str:
    start, end = word.span()
    return f"{path[:start]}\0{path[end:]}"


class Lacking:
    """Files of groups that lack a word, in the order of the groups."""

    def __init__(self) -> None:
        self._found: list[tuple[int, list[SetAside]]] = []

    def add(self, group: Group, missing: Sequence[str]) -> None:
        asides = [SetAside(row.path, f"its image lacks {few(missing)}") for row in group.of.values()]
        self._found.append((group.number, asides))

    def __iter__(self) -> Iterator[SetAside]:
        return (aside for _, some in sorted(self._found, key=lambda pair: pair[0]) for aside in some)


def joined_channels(
    database: TemporaryDatabase, rows: Iterable[Row], words: Sequence[str], masks: MaskTable
) -> tuple[RowTable, list[SetAside]]:
    """One row for the files whose paths are the same but for one of `words`, in the words' order, and what
    did not become part of one.

    Words are as in `Groups`. Columns are those of the first file; a mask is that of any, or a lone one whose
    name is theirs without the word, which is then taken. Raises UserError where there are not two words, or
    one stands twice.
    """
    names = [word.strip().lower() for word in words]
    if len(names) < 2 or not all(names) or len({*names}) < len(names):
        raise UserError(
            f"--channels {','.join(words)}: give two words or more, each once, such as t1,t2,flair"
        )
    aside: list[SetAside] = []
    unnamed = f"names none of the channels {few(names)}"
    groups = Groups(database, rows, names, lambda row: aside.append(SetAside(row.path, unnamed)))
    masks.name_lone(lambda path: str(PurePosixPath(path).parent / MASK_ENDING.sub("", _plain(path))))
    lacking = Lacking()
    images = RowTable(database, "of_channels")

    def joined() -> Iterator[tuple[tuple[int, int, int], Row]]:
        for group in groups:
            if missing := [name for name in names if name not in group.of]:
                lacking.add(group, missing)
                continue
            files = [group.of[name] for name in names]
            mask = next((file.mask for file in files if file.mask), "")
            if not mask:
                plain = group.place.replace("\0", "")
                mask = masks.lone_named(str(PurePosixPath(plain).parent / _trimmed(plain)))
            yield (
                (group.number, 0, 0),
                replace(files[0], path=SEPARATOR.join(file.path for file in files), mask=mask),
            )

    images.add(joined())
    masks.take(row.mask for row in images)
    return images, [*aside, *groups.twice, *lacking]


def _plain(path: str) -> str:
    return stem_of(PurePosixPath(path))


def _trimmed(path: str) -> str:
    """The file's stem, without separators that the word left at its ends."""
    return _plain(path).strip("_-. ")
