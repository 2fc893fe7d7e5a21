"""Which files a table's rows are about: by path, file name, name without extension, or id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count

Way = Literal["auto", "path", "name", "stem", "id"]
_EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".nii.gz", ".nii", ".npz"),
)
_SAID = {"path": "path", "name": "file name", "stem": "file name without its extension", "id": "id"}
_AFTER_AN_ID = "_-. "


@dataclass(frozen=True)
class Join:
    """Which keys of a table are which files.

    files      the files of each key that has any; several only of an id
    keys       the key of each file that has one
    unmatched  keys that no file has
    left       files that no key names
    ways       how they were matched, in words
    """

    files: Mapping[str, tuple[str, ...]]
    keys: Mapping[str, str]
    unmatched: tuple[str, ...]
    left: tuple[str, ...]
    ways: str

    def notes(self, source: str, folder: str | Path) -> list[str]:
        """How they were matched, and what is left on either side, each in a line."""
        images = sum(map(len, self.files.values()))
        said = [f"{source}: has rows of {count(images, 'image')} in {folder}, found by {self.ways}"]
        if self.unmatched:
            said.append(
                f"{source}: names {count(len(self.unmatched), 'image')} that {folder} does not hold; left "
                f"out: {few(self.unmatched)}"
            )
        if self.left:
            said.append(
                f"{source}: has no row of {count(len(self.left), 'image')} in {folder}; without a label: "
                f"{few(self.left)}"
            )
        return said


def join(
    keys: Iterable[str], files: Sequence[str], *, source: str, folder: str | Path, way: Way = "auto"
) -> Join:
    """The files that keys of a table name.

    keys   what the table calls its images; equal ones count once
    files  paths relative to `folder`, `/` between folders
    way    how they are compared:

           `path`   equal, or one is the end of the other in whole folders (`set/train/a.png` in the table,
                    `train/a.png` in the folder); the extension may differ where no file has the key's
           `name`   the file name alone, whatever folders the table names
           `stem`   the file name without extension, likewise
           `id`     a folder of the path, or the beginning of the file name, as in `p17/a.png` and `p17_2.png`
                    for the id `p17`; one id may have many files
           `auto`   `path`, then `name` and `stem` for keys without folders; `id` where these find nothing

    Raises UserError where a key fits several files (but by `id`) or a file several keys, and where none fits.
    """
    keys = list(dict.fromkeys(keys))
    names = _Names(files)
    found: dict[str, tuple[str, ...]] = {}
    used: dict[str, None] = {}
    several: list[str] = []
    if way != "id":
        for key in keys:
            fitting, how = names.fitting(key, way)
            if len(fitting) > 1:
                several.append(f"{key} ({', '.join(sorted(fitting)[:2])})")
            elif fitting:
                found[key] = tuple(fitting)
                used[how] = None
    if way in ("auto", "id") and not found and not several:
        found = names.by_ids(keys)
        used = {"id": None} if found else {}
    images = count(len(keys), "image")
    if several:
        raise UserError(
            f"{source}: of its {images} {len(several):,} may be several files in {folder}: "
            f"{few(several, 3)}; give a column with paths below {folder}, or a folder with one file for each"
        )
    if not found:
        raise UserError(
            f"{source}: none of its {images} is among {len(files):,} in {folder}: the table "
            f"says {few(keys, 2)}, the folder has {few(files, 2)}; give another column or folder"
        )
    owner = _owners(found, source)
    return Join(
        found,
        owner,
        tuple(key for key in keys if key not in found),
        tuple(file for file in files if file not in owner),
        " and ".join(_SAID[how] for how in used),
    )


def without_extension(name: str) -> str:
    """The name without the extension of an image format; other dots stay, as in UIDs."""
    ending = next((end for end in _EXTENSIONS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def _owners(found: Mapping[str, Sequence[str]], source: str) -> dict[str, str]:
    owner: dict[str, str] = {}
    twice: list[str] = []
    for key, fitting in found.items():
        others = [file for file in fitting if owner.setdefault(file, key) != key]
        twice += [f"{owner[file]} and {key} (both {file})" for file in others]
    if twice:
        raise UserError(
            f"{source}: {count(len(twice), 'file')} named in several ways: {few(twice, 3)}; a file has one "
            "name in the table"
        )
    return owner


class _Ends:
    """Files by every end of their path in whole folders, their last name as `last` gives it. So each key is
    found at once, also among very many files of one name."""

    def __init__(self, files: Sequence[str], last: Callable[[str], str]) -> None:
        self.with_end: dict[str, list[str]] = defaultdict(list)
        self.whole: dict[str, list[str]] = defaultdict(list)
        for file in files:
            *folders, name = file.split("/")
            end = last(name)
            self.with_end[end].append(file)
            for folder in reversed(folders):
                end = f"{folder}/{end}"
                self.with_end[end].append(file)
            self.whole[end].append(file)

    def fitting(self, parts: Sequence[str]) -> list[str]:
        """The files whose end these parts are; where there is none, those that are the longest end of it."""
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        found = self.with_end.get("/".join(parts)) or next(filter(None, map(self.whole.get, ends)), [])
        return list(found)


class _Names:
    """Files by their last name, with and without extension."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files
        self.by_name: dict[str, list[str]] = defaultdict(list)
        self.by_stem: dict[str, list[str]] = defaultdict(list)
        for file in files:
            name = PurePosixPath(file).name
            self.by_name[name].append(file)
            self.by_stem[without_extension(name)].append(file)

    def fitting(self, key: str, way: Way) -> tuple[list[str], str]:
        """The files that fit a key best, and how they do."""
        parts = _parts(key)
        if not parts:
            return [], ""
        named = self.by_name.get(parts[-1], []) if way != "stem" else []
        alike = self.by_stem.get(without_extension(parts[-1]), []) if way != "name" else []
        if way in ("name", "stem"):
            return (named or alike), way
        if len(parts) == 1 and way == "auto":
            return ([parts[0]] if parts[0] in named else named or alike), "name" if named else "stem"
        for ends, last in ((self.by_end, parts[-1]), (self.by_end_stem, without_extension(parts[-1]))):
            if fitting := ends.fitting((*parts[:-1], last)):
                return fitting, "path"
        return [], "path"

    @cached_property
    def by_end(self) -> _Ends:
        return _Ends(self.files, lambda name: name)

    @cached_property
    def by_end_stem(self) -> _Ends:
        return _Ends(self.files, without_extension)

    def by_ids(self, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The files of each id; of several ids in one path, the one that stands deepest, and the longest."""
        ids = {key.strip("/"): key for key in keys if key.strip("/")}
        found: dict[str, list[str]] = defaultdict(list)
        for file in self.files:
            *folders, name = file.split("/")
            stem = without_extension(name)
            ends = [len(stem), *(at for at in range(len(stem) - 1, 0, -1) if stem[at] in _AFTER_AN_ID)]
            candidates = [*(stem[:end] for end in ends), *reversed(folders)]
            if (match := next((each for each in candidates if each in ids), None)) is not None:
                found[ids[match]].append(file)
        return {key: tuple(found[key]) for key in keys if key in found}


def _parts(key: str) -> list[str]:
    return [part for part in key.replace("\\", "/").split("/") if part not in ("", ".")]
