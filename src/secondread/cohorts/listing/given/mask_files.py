"""The files that a pattern of masks names for images, found without a look at every file for every image.

Of the texts between a pattern's marks (`*`, `?`) the anchor is one that differs from image to image. Where it
is the first, files that fit begin with it, and the table of paths finds them. Otherwise files ask for images:
these lie in a table by folder and anchor, and each file looks there for the parts of its path that have an
anchor's length (its end alone where the anchor is the last text). So work grows as the files do.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import PurePosixPath

from secondread.cohorts.listing.folder_names import stem_of
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.outputs.temporary_database import TemporaryDatabase

FIELD = re.compile(r"\{(\w*)\}|(\*)|(\?)")
_AT_ONCE = 1000
_ASKED_AT_ONCE = 500
_MADE_UP = "a/b/c.png", ("a/b/d.png", "a/e/c.png")
"""A path, and others that differ from it in name or in folder."""


def mask_files(pattern: str, files: FileTable, database: TemporaryDatabase) -> Iterator[tuple[int, str, str]]:
    """Number and path of an image and a file that fits the pattern, in no order; after `files.sort_paths`."""
    anchor, count = _anchor(pattern)
    if not anchor:
        return _begun_by_images(pattern, _images(files), files)
    return _asked_by_files(pattern, anchor, count, files, database)


def _images(files: FileTable) -> Iterator[tuple[int, str]]:
    return chain.from_iterable(files.numbered(_AT_ONCE))


def filled(pattern: str, image: str) -> list[str]:
    """The path that a pattern names for an image: texts, and a `*` or `?` between two of them."""
    path = PurePosixPath(image)
    folder = "" if str(path.parent) == "." else str(path.parent)
    values = {"stem": stem_of(path), "name": path.name, "folder": folder or ".", "parent": path.parent.name}
    whole = pattern if "/" in pattern or "{folder}" in pattern else f"{{folder}}/{pattern}"
    named = FIELD.sub(
        lambda found: f"\0{found[0]}\0" if found[1] is None else values[found[1]],
        whole,
    )
    return posixpath.normpath(named).split("\0")


def fits(path: str, pieces: Sequence[str]) -> bool:
    """Whether a path is these pieces: texts, and a `*` or `?` between two of them. Where a text may end is
    found from left to right, so that many marks cost no more than their number."""
    first, *more = pieces
    ends = {len(first)} if path.startswith(first) else set()
    for mark, text in zip(more[::2], more[1::2], strict=True):
        begins = {begin for end in ends for begin in _passed(path, end, mark)}
        ends = {begin + len(text) for begin in begins if path.startswith(text, begin)}
    return len(path) in ends


def _passed(path: str, end: int, mark: str) -> range:
    """Where a mark that begins at `end` may end, within one name."""
    last = path.find("/", end)
    rest = (len(path) if last < 0 else last) - end
    return range(end, end + rest + 1) if mark == "*" else range(end + 1, end + 1 + bool(rest))


def _anchor(pattern: str) -> tuple[int, int]:
    """Which of how many texts differs with the image's name, or else with its folder: the first (0) where it
    does or none does, before the last and any other."""
    one, others = _MADE_UP
    texts = _texts(filled(pattern, one))
    for other in others:
        pairs = zip(texts, _texts(filled(pattern, other)), strict=True)
        differ = [at for at, (text, another) in enumerate(pairs) if text != another]
        if differ:
            best = next((at for at in (0, len(texts) - 1) if at in differ), differ[0])
            return best, len(texts)
    return 0, len(texts)


def _texts(pieces: Sequence[str]) -> list[str]:
    """The texts of pieces, the first without its folders."""
    return [pieces[0].rpartition("/")[2], *pieces[2::2]]


def _begun_by_images(
    pattern: str, images: Iterable[tuple[int, str]], files: FileTable
) -> Iterator[tuple[int, str, str]]:
    """Each image looks at the files that begin as its pattern does."""
    for number, image in images:
        pieces = filled(pattern, image)
        if len(pieces) == 1:
            found: Iterable[str] = pieces if files.holds(pieces[0]) else ()
        else:
            found = (path for path in files.beginning(pieces[0]) if fits(path, pieces))
        for path in found:
            yield number, image, path


def _asked_by_files(
    pattern: str, anchor: int, count: int, files: FileTable, database: TemporaryDatabase
) -> Iterator[tuple[int, str, str]]:
    """Each file asks for the images whose anchor is a part of its path."""
    lengths: set[int] = set()
    depths: set[int] = set()
    others = False  # images in whose pattern `..` takes a mark away, as in `*/{folder}/../../{name}`

    def sought() -> Iterator[tuple[str, str, int, str]]:
        nonlocal others
        for number, image in _images(files):
            pieces = filled(pattern, image)
            texts = _texts(pieces)
            if len(texts) != count:
                others = True
                continue
            lengths.add(len(texts[anchor]))
            depths.add(sum(text.count("/") for text in texts))
            yield pieces[0][: len(pieces[0]) - len(texts[0])], texts[anchor], number, image

    database.run("CREATE TABLE sought (folder TEXT, anchor TEXT, number INTEGER, image TEXT)")
    database.add("INSERT INTO sought VALUES (?, ?, ?, ?)", sought())
    database.run("CREATE INDEX sought_by_anchor ON sought (folder, anchor)")
    for path in files.paths():
        names = path.split("/")
        for depth in depths:
            rest = "/".join(names[-depth - 1 :])
            if len(names) > depth:
                folder = path[: len(path) - len(rest)]
                parts = _parts(rest, lengths, at_the_end=anchor == count - 1)
                for number, image in _with_anchor(folder, parts, database):
                    if fits(path, filled(pattern, image)):
                        yield number, image, path
    database.run("DROP TABLE sought")
    if others:
        odd = (one for one in _images(files) if len(_texts(filled(pattern, one[1]))) != count)
        yield from _begun_by_images(pattern, odd, files)


def _parts(text: str, lengths: Iterable[int], *, at_the_end: bool) -> list[str]:
    """The different parts of a text that have some length."""
    found: dict[str, None] = {}
    for length in lengths:
        last = len(text) - length
        for begin in range(max(last, 0) if at_the_end else 0, last + 1):
            found[text[begin : begin + length]] = None
    return list(found)


def _with_anchor(
    folder: str, anchors: Sequence[str], database: TemporaryDatabase
) -> Iterator[tuple[int, str]]:
    for begin in range(0, len(anchors), _ASKED_AT_ONCE):
        some = anchors[begin : begin + _ASKED_AT_ONCE]
        marks = ", ".join("?" * len(some))
        asked = f"SELECT number, image FROM sought WHERE folder = ? AND anchor IN ({marks})"  # noqa: S608
        for number, image in database.rows(asked, (folder, *some)):
            yield int(number), str(image)
