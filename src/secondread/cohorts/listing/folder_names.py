"""What folder names say: `train/normal`, `test/abnormal`, `NORMAL` beside `PNEUMONIA`, `masks`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from secondread.cohorts.listing.folder_words import is_mask_folder, read_name
from secondread.wording.lists import few

MASK_ENDING = re.compile(r"[_\-. ](mask|masks|seg|segmentation|gt|label|lesion)$", re.IGNORECASE)
_SURE_ENDING = re.compile(r"[_\-. ](mask|masks|seg|segmentation|gt)$", re.IGNORECASE)


@dataclass(frozen=True)
class FolderColumns:
    """The columns that a path's folders fill; empty where they say nothing.

    `unclear` is the folder whose name may be meant as a label and cannot be taken for one, and why.
    """

    split: str = ""
    label: str = ""
    finding: str = ""
    unclear: tuple[str, str] | None = None


class Folders:
    """What the folders of paths say (relative, `/` between folders), asked for one path after the other.

    A folder called by one of the usual words for a split or label fills that column, also both at once
    (`test_normal`); negations are heeded (`no finding`, `non-normal`). A folder that stands beside one for
    normals, and has no meaning of its own, is a finding: its images are abnormal. A name that denies one
    finding (`covid-negative`), contradicts itself or is mere housekeeping (`thumbnails`) gives no label.

    paths   all of them, of which nothing is held; those of one folder best follow one another
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._beside_normal: set[PurePosixPath] = set()
        last = None
        for path in paths:
            above = path.rpartition("/")[0]
            if above != last:
                last = above
                folder = PurePosixPath(path).parent
                for inner, outer in zip([folder, *folder.parents], folder.parents, strict=False):
                    if read_name(inner.name).label == "normal":
                        self._beside_normal.add(outer)
        self._last: str | None = None
        self._said = FolderColumns()

    def say(self, path: str) -> FolderColumns:
        above = path.rpartition("/")[0]
        if above != self._last:
            self._last = above
            self._said = _columns(PurePosixPath(path).parent, self._beside_normal)
        return self._said


class UnclearFolders:
    """The folders whose names gave no label."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, said: FolderColumns) -> None:
        if said.unclear is not None:
            self._counts[said.unclear] += 1

    @property
    def lines(self) -> list[str]:
        """One line on them, where there are any."""
        if not self._counts:
            return []
        told = [f"{folder!r} ({why})" for folder, why in self._counts]
        return [
            f"{self._counts.total()} images have no label, as their folder's name gives none: "
            f"{few(told, 8)}; fill the column label where you know it"
        ]


@dataclass(frozen=True)
class PartMasks:
    """The mask of each image that has one (image path -> mask path), and masks that fit no image or several:
    beside images, beside an image in another format, and in folders."""

    of: Mapping[str, str]
    lone: list[str]
    lone_again: list[str]
    lone_in_folders: list[str]
    images: list[str]


class MaskNames:
    """Which of many pictures may be masks, by their names; asked for one path after the other."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._foldered = False

    def in_folder(self, path: PurePosixPath) -> bool:
        """Whether it lies in a folder for masks."""
        above = str(path.parent)
        if above != self._last:
            self._last = above
            self._foldered = any(is_mask_folder(part) for part in path.parts[:-1])
        return self._foldered

    def may_be(self, path: PurePosixPath) -> bool:
        return self.in_folder(path) or MASK_ENDING.search(stem_of(path)) is not None


def without_endings(stem: str) -> str:
    """What the names of an image and its masks have in common."""
    while (plain := MASK_ENDING.sub("", stem)) != stem:
        stem = plain
    return stem


def part_masks(pictures: Sequence[str]) -> PartMasks:
    """The images among pictures and their masks. Pictures that differ in `without_endings` do not touch one
    another.

    A mask lies in a folder for masks, or beside its image under the same name with an ending such as `_mask`
    or `_lesion`. A picture elsewhere whose name ends in `_label` or `_lesion` is an image; one that ends in
    `_mask` is a mask without an image.
    """
    stems = {(PurePosixPath(path).parent, stem_of(PurePosixPath(path))): path for path in pictures}
    names = MaskNames()
    images: list[str] = []
    beside: dict[str, str] = {}
    foldered: list[str] = []
    lone: list[str] = []
    for path in pictures:
        pure = PurePosixPath(path)
        stem = stem_of(pure)
        plain = MASK_ENDING.sub("", stem)
        image = stems.get((pure.parent, plain)) if plain != stem else None
        if names.in_folder(pure):
            foldered.append(path)
        elif image is not None and image not in beside:
            beside[image] = path
        elif image is not None or _SURE_ENDING.search(stem):
            lone.append(path)
        else:
            images.append(path)
    listed = set(images)
    matched, left = match_masks([image for image in images if image not in beside], foldered)
    again = [beside.pop(image) for image in list(beside) if image not in listed]
    return PartMasks({**beside, **matched}, lone, again, left, images)


def match_masks(images: Sequence[str], masks: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The mask of each image (image path → mask path), and the masks that fit none or several.

    A mask belongs to the image of the same name, apart from an ending such as `_mask`; among several,
    to the one that shares most folder names with it.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_stem[stem_of(PurePosixPath(image))].append(image)
    matched: dict[str, str] = {}
    left: list[str] = []
    for mask in masks:
        pure = PurePosixPath(mask)
        stem = stem_of(pure)
        candidates = by_stem.get(stem, []) or by_stem.get(MASK_ENDING.sub("", stem), [])
        ranked = sorted(((_shared_folders(pure, PurePosixPath(c)), c) for c in candidates), reverse=True)
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]) or ranked[0][1] in matched:
            left.append(mask)
        else:
            matched[ranked[0][1]] = mask
    return matched, left


def _columns(folder: PurePosixPath, beside_normal: set[PurePosixPath]) -> FolderColumns:
    split = label = finding = ""
    unclear: tuple[str, str] | None = None
    for inner in [*reversed(folder.parents), folder]:
        if not inner.name:
            continue
        said = read_name(inner.name)
        split = said.split or split
        beside = inner.parent in beside_normal
        if said.label:
            label, finding, unclear = said.label, "", None
        elif said.finding and beside:
            label, finding, unclear = "abnormal", said.finding, None
        elif said.unclear and not said.beside:
            label, finding, unclear = "", "", (inner.name, said.unclear)
        elif said.unclear and beside and not label and not said.split:
            unclear = (inner.name, said.unclear)
    return FolderColumns(split, label, finding, unclear)


def stem_of(path: PurePosixPath) -> str:
    name = path.name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else path.stem


def _shared_folders(mask: PurePosixPath, image: PurePosixPath) -> int:
    return len(set(mask.parts[:-1]) & set(image.parts[:-1]))
