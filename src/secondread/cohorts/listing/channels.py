"""Files that are the channels of one image, told by a word in their names: `p1_t1.nii.gz`,
`p1_flair.nii.gz`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from secondread.cohorts.listing.folder_names import MASK_ENDING, stem_of
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR
from secondread.wording.lists import few


@dataclass(frozen=True)
class Groups:
    """Files whose paths are the same but for a word.

    by_place  the file of each word, by the path around the word (a NUL in its place)
    others    files that name none of the words
    twice     files that would be a second one of a word
    """

    by_place: Mapping[str, Mapping[str, Row]]
    others: list[Row]
    twice: list[SetAside]

    @classmethod
    def of(cls, rows: Sequence[Row], words: Sequence[str]) -> Groups:
        """A word stands by itself in a path (`t1` is not in `t1ce`), in any case; of several the last counts.
        `words` are in small letters."""
        longest_first = sorted(words, key=len, reverse=True)
        pattern = re.compile(
            rf"(?<![^\W_])({'|'.join(map(re.escape, longest_first))})(?![^\W_])", re.IGNORECASE
        )
        groups: dict[str, dict[str, Row]] = {}
        others: list[Row] = []
        twice: list[SetAside] = []
        for row in rows:
            found = list(pattern.finditer(row.path))
            if not found:
                others.append(row)
                continue
            start, end = found[-1].span()
            group = groups.setdefault(f"{row.path[:start]}\0{row.path[end:]}", {})
            if group.setdefault(found[-1][1].lower(), row) is not row:
                twice.append(SetAside(row.path, "another file is this channel already"))
        return cls(groups, others, twice)


def joined_channels(
    rows: Sequence[Row], words: Sequence[str], lone_masks: Sequence[str]
) -> tuple[list[Row], list[SetAside]]:
    """One row for the files whose paths are the same but for one of `words`, in the words' order, and what
    did not become part of one.

    Words are as in `Groups`. Columns are those of the first file; a mask is that of any, or one of
    `lone_masks` whose name is theirs without the word. Raises UserError where there are not two words, or one
    stands twice.
    """
    names = [word.strip().lower() for word in words]
    if len(names) < 2 or not all(names) or len({*names}) < len(names):
        raise UserError(
            f"--channels {','.join(words)}: give two words or more, each once, such as t1,t2,flair"
        )
    groups = Groups.of(rows, names)
    aside = [SetAside(row.path, f"names none of the channels {few(names)}") for row in groups.others]
    aside += groups.twice
    masks = {str(PurePosixPath(path).parent / MASK_ENDING.sub("", _plain(path))): path for path in lone_masks}
    images = []
    for place, group in groups.by_place.items():
        if missing := [name for name in names if name not in group]:
            aside += [SetAside(row.path, f"its image lacks {few(missing)}") for row in group.values()]
            continue
        files = [group[name] for name in names]
        without_word = place.replace("\0", "")
        own = masks.get(str(PurePosixPath(without_word).parent / _trimmed(without_word)), "")
        mask = next((file.mask for file in files if file.mask), own)
        images.append(replace(files[0], path=SEPARATOR.join(file.path for file in files), mask=mask))
    return images, aside


def _plain(path: str) -> str:
    return stem_of(PurePosixPath(path))


def _trimmed(path: str) -> str:
    """The file's stem, without separators that the word left at its ends."""
    return _plain(path).strip("_-. ")
