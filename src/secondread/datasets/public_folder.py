"""A folder that somebody downloaded: where in it the data set lies, and what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

from secondread.cohorts.labels.image_names import without_extension
from secondread.cohorts.listing.tree import tree_of
from secondread.errors import UserError
from secondread.natural_order import natural
from secondread.wording.lists import few
from secondread.wording.numbers import count

_DEPTH = 2
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")
_MOST_FOLDERS = 200
"""Folders with more subfolders are patients, and no data set is sought in them."""


@dataclass(frozen=True)
class Form:
    """One way in which a data set lies on disk.

    marks  what is there below its root, as patterns: `/` between folders, `*` for any letters, `|` between
           two names of one thing; small and capital letters are the same
    """

    name: str
    marks: tuple[str, ...]


class PublicFolder:
    """The root of a data set and the form in which it lies there; `file` is the one that was given in place
    of a folder, else "". Paths are relative to the root."""

    def __init__(self, root: Path, form: str, file: str = "") -> None:
        self.root = root.resolve()
        self.form = form
        self.file = file

    def matching(self, pattern: str) -> list[str]:
        """The files and folders that fit a pattern, in the order in which people count."""
        return matching(self.root, pattern)

    def images(self, pattern: str) -> list[str]:
        """The images in the folders that fit a pattern, and below them."""
        found: list[str] = []
        for folder in self.matching(pattern):
            if (self.root / folder).is_dir():
                files = tree_of(self.root / folder).files
                found += [f"{folder}/{file}" for file in files if is_image(file)]
        return sorted(found, key=natural)

    def file_at(self, pattern: str) -> Path:
        """The first file that fits a pattern. Raises UserError where there is none."""
        found = self.one(pattern)
        if found is None:
            raise UserError(f"{self.root}: {pattern.replace('|', ' or ')} is missing; unpack the set again")
        return found

    def one(self, pattern: str) -> Path | None:
        """The first file that fits a pattern; None where there is none."""
        found = [path for path in self.matching(pattern) if (self.root / path).is_file()]
        return self.root / found[0] if found else None


def located(given: Path, forms: Sequence[Form], hint: str, how: str) -> PublicFolder:
    """The data set in a folder, or in one of the folders in it; the shallowest counts.

    given  a folder, or the one file that a form consists of
    hint   a word, or several with `|` between, in the name of the right one, where several folders fit
    how    what to download, for the message

    Raises UserError where the folder or something of the layout is missing, or several folders fit.
    """
    if not given.exists():
        raise UserError(f"{given}: no such file or folder; {how}")
    if given.is_file():
        form = next((form for form in forms if _fits_file(form, given)), None)
        if form is None:
            packed = given.name.lower().endswith(_ARCHIVES)
            told = "an archive; unpack it, and give its folder" if packed else f"a file and no folder; {how}"
            raise UserError(f"{given}: {told}")
        return PublicFolder(given.parent, form.name, given.name)
    seen: list[Path] = []
    for level in _levels(given):
        fitting = [
            (folder, form)
            for folder in level
            for form in forms
            if all(matching(folder, mark) for mark in form.marks)
        ]
        if fitting:
            return _chosen(given, fitting, hint)
        seen += level
    raise UserError(_missing(given, seen, forms, how))


def matching(root: Path, pattern: str) -> list[str]:
    found = [""]
    for part in pattern.split("/"):
        wanted = [each.lower() for each in part.split("|")]
        found = [
            f"{before}/{name}" if before else name
            for before in found
            for name in _names(root / before)
            if any(fnmatchcase(name.lower(), each) for each in wanted)
        ]
    return sorted(found, key=natural)


def is_image(path: str) -> bool:
    """Whether the name is that of an image file."""
    return without_extension(path) != path


def stem(path: str) -> str:
    """The file's name without the ending of an image format."""
    return without_extension(PurePosixPath(path).name)


def _fits_file(form: Form, file: Path) -> bool:
    return len(form.marks) == 1 and fnmatchcase(file.name.lower(), form.marks[0].lower())


def _chosen(given: Path, fitting: Sequence[tuple[Path, Form]], hint: str) -> PublicFolder:
    """Of the folders that fit the one with the hint in its name; of the forms of one folder the first."""
    folders = list(dict.fromkeys(folder for folder, _ in fitting))
    if len(folders) > 1 and hint:
        named = [folder for folder in folders if any(word in folder.name.lower() for word in hint.split("|"))]
        folders = named or folders
    if len(folders) > 1:
        names = [str(folder.relative_to(given)) for folder in folders]
        raise UserError(f"{given}: {len(folders)} folders fit: {few(names)}; give the one that you mean")
    return PublicFolder(*next((folder, form.name) for folder, form in fitting if folder == folders[0]))


def _missing(given: Path, seen: Sequence[Path], forms: Sequence[Form], how: str) -> str:
    """What lacks where most of a form is there, or what was sought where nothing is."""
    best, lacking, form = min(
        (
            (folder, [mark for mark in form.marks if not matching(folder, mark)], form)
            for form in forms
            for folder in seen
        ),
        key=lambda each: (len(each[1]) - len(each[2].marks), len(each[1])),
    )
    if packed := [name for name in _names(best) if name.lower().endswith(_ARCHIVES) and not is_image(name)]:
        how = f"unpack {few(sorted(packed, key=natural), 3)}, or {how}"
    if len(lacking) < len(form.marks):
        return f"{best}: {_said(lacking)} {'is' if len(lacking) == 1 else 'are'} missing; {how}"
    sought = "; or ".join(_said(each.marks) for each in forms)
    below = f" and the {count(len(seen) - 1, 'folder')} in it" if len(seen) > 1 else ""
    return f"{given}: no data set of this layout in it{below}; sought: {sought}; {how}"


def _said(marks: Sequence[str]) -> str:
    return ", ".join(mark.replace("|", " or ") for mark in marks)


def _levels(given: Path) -> Iterator[list[Path]]:
    level = [given]
    for depth in range(_DEPTH + 1):
        yield level
        if depth < _DEPTH:
            level = [folder for above in level for folder in _subfolders(above)]


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.is_dir() and not _is_hidden(each.name)]
    except OSError:
        return []
    return [folder / name for name in sorted(names, key=natural)] if len(names) <= _MOST_FOLDERS else []


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except OSError:
        return ()


@lru_cache(1024)
def _listed(folder: Path, changed: int) -> tuple[str, ...]:
    """The names in a folder as it was at `changed`; a large one is listed once for all its patterns."""
    return tuple(name for name in os.listdir(folder) if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))
