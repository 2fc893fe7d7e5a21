"""Masks that are found by patterns of their paths: `{stem}_mask.png`, `{folder}/../masks/{stem}.png`."""

from __future__ import annotations

import itertools
import posixpath
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from secondread.cohorts.listing.folder_names import stem_of
from secondread.cohorts.listing.natural_order import natural
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR
from secondread.wording.lists import few
from secondread.wording.numbers import count

_FIELD = re.compile(r"\{(\w*)\}|(\*)|(\?)")
_FIELDS = ("stem", "name", "folder", "parent")


@dataclass(frozen=True)
class FoundMasks:
    """The mask of each image that has one (several are joined by `|`), the files that are masks, and what is
    to be said."""

    masks: dict[str, str]
    files: set[str]
    notes: list[str]


def masks_by_patterns(paths: Sequence[str], patterns: Sequence[str], source: str) -> FoundMasks:
    """The masks of images among paths (relative, `/` between folders).

    A pattern names the masks of an image: `{stem}` is its file name without extension, `{name}` with it,
    `{folder}` its folder and `{parent}` the name of that folder; `*` and `?` stand for any letters, and for
    any one, but `/`. A pattern without `/` is sought beside the image, any other in the folder that is
    indexed unless it begins with `{folder}`. All files that fit an image by any pattern are its mask
    together. A mask is no image of its own.

    Raises UserError for a pattern that cannot be read, that fits an image itself, or that fits nothing.
    """
    there, ordered = set(paths), sorted(paths)
    masks: dict[str, list[str]] = {}
    used: set[str] = set()
    for pattern in patterns:
        _check(pattern)
        found = 0
        for image in paths:
            fitting = [path for path in _fitting(pattern, image, there, ordered) if path != image]
            masks.setdefault(image, []).extend(path for path in fitting if path not in masks.get(image, ()))
            used.update(fitting)
            found += len(fitting)
        if not found:
            example = _filled(pattern, paths[0], escape=False)
            raise UserError(
                f"--mask {pattern}: fits no file of {source}; for {paths[0]} it would be {example}; fields "
                f"are {', '.join(f'{{{name}}}' for name in _FIELDS)}"
            )
    images = [path for path in paths if path not in used]
    outlined = {image: SEPARATOR.join(sorted(masks[image], key=natural)) for image in images if masks[image]}
    notes = [f"{count(len(outlined), 'image')} of {len(images):,} with a mask by --mask"]
    several = [image for image in outlined if len(masks[image]) > 1]
    if several:
        notes.append(
            f"{count(len(several), 'image')} with several masks, which count as one: {few(several, 3)}"
        )
    return FoundMasks(outlined, used, notes)


def _check(pattern: str) -> None:
    names = [found[1] for found in _FIELD.finditer(pattern) if found[1] is not None]
    if unknown := [name for name in names if name not in _FIELDS]:
        raise UserError(
            f"--mask {pattern}: {{{unknown[0]}}} is unknown; fields are "
            f"{', '.join(f'{{{name}}}' for name in _FIELDS)}"
        )
    if not {"stem", "name", "folder", "parent"} & set(names):
        raise UserError(f"--mask {pattern}: names one file for all images; use {{stem}} for the image's name")


def _fitting(pattern: str, image: str, there: set[str], ordered: Sequence[str]) -> list[str]:
    """The files that a pattern names for an image; `ordered` are all of them, sorted."""
    path = _filled(pattern, image, escape=False)
    if not re.search(r"[*?]", pattern):
        return [path] if path in there else []
    wanted = re.compile(_filled(pattern, image, escape=True))
    start = re.split(r"[*?]", path)[0]
    first = bisect_left(ordered, start)
    alike = itertools.takewhile(lambda other: other.startswith(start), itertools.islice(ordered, first, None))
    return [other for other in alike if wanted.fullmatch(other)]


def _filled(pattern: str, image: str, *, escape: bool) -> str:
    """The path that a pattern names for an image; with `escape` as a regular expression."""
    path = PurePosixPath(image)
    folder = "" if str(path.parent) == "." else str(path.parent)
    values = {"stem": stem_of(path), "name": path.name, "folder": folder or ".", "parent": path.parent.name}
    whole = pattern if "/" in pattern or "{folder}" in pattern else f"{{folder}}/{pattern}"
    marks: list[str] = []

    def value(found: re.Match[str]) -> str:
        if found[1] is not None:
            return values[found[1]]
        marks.append("[^/]*" if found[2] else "[^/]")
        return f"\0{len(marks) - 1}\0" if escape else found[0]

    filled = posixpath.normpath(_FIELD.sub(value, whole))
    if not escape:
        return filled
    return re.sub("\0([0-9]+)\0", lambda found: marks[int(found[1])], re.escape(filled))
