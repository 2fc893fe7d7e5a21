"""What folder names say: `train/normal`, `test/abnormal`, `NORMAL` beside `PNEUMONIA`, `masks`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NORMAL = {
    "normal",
    "normals",
    "good",
    "healthy",
    "negative",
    "control",
    "controls",
    "no finding",
    "no findings",
}
_ABNORMAL = {
    *("abnormal", "abnormals", "anomaly", "anomalies", "anomalous", "bad", "defect", "defective"),
    *("disease", "diseased", "pathology", "pathological", "positive"),
}
_UNLABELLED = {"unlabelled", "unlabeled", "unknown", "unsorted"}
_MASKS = {"mask", "masks", "ground truth", "segmentation", "segmentations", "lesion mask", "lesion masks"}
_MASK_ENDING = re.compile(r"[_\-. ](mask|masks|seg|segmentation|gt|label|lesion)$", re.IGNORECASE)


@dataclass(frozen=True)
class FolderColumns:
    """The columns that a path's folders fill; empty where they say nothing."""

    split: str = ""
    label: str = ""
    finding: str = ""


def columns_from_folders(paths: Sequence[str]) -> list[FolderColumns]:
    """Split, label and finding of each path (relative, `/` between folders).

    A folder called by one of the usual words for a split or label fills that column, also both at once
    (`test_normal`). A folder that stands beside one for normals, and has no meaning of its own, is a
    finding: its images are abnormal.
    """
    children: dict[PurePosixPath, set[str]] = defaultdict(set)
    for path in paths:
        folder = PurePosixPath(path).parent
        for inner, outer in zip([folder, *folder.parents], folder.parents, strict=False):
            children[outer].add(inner.name)
    beside_normal = {
        folder for folder, names in children.items() if any(_read(name).label == "normal" for name in names)
    }
    return [_columns(PurePosixPath(path).parent, beside_normal) for path in paths]


def is_mask(path: str) -> bool:
    """Whether the path's folders, or the end of its file name, say that it is a mask."""
    pure = PurePosixPath(path)
    return any(_words(part) in _MASKS for part in pure.parts[:-1]) or bool(_MASK_ENDING.search(_stem(pure)))


def match_masks(images: Sequence[str], masks: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The mask of each image (image path → mask path), and the masks that fit none or several.

    A mask belongs to the image of the same name, apart from an ending such as `_mask`; among several,
    to the one that shares most folder names with it.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_stem[_stem(PurePosixPath(image))].append(image)
    matched: dict[str, str] = {}
    left: list[str] = []
    for mask in masks:
        pure = PurePosixPath(mask)
        stem = _stem(pure)
        candidates = by_stem.get(stem, []) or by_stem.get(_MASK_ENDING.sub("", stem), [])
        ranked = sorted(((_shared_folders(pure, PurePosixPath(c)), c) for c in candidates), reverse=True)
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]) or ranked[0][1] in matched:
            left.append(mask)
        else:
            matched[ranked[0][1]] = mask
    return matched, left


def _columns(folder: PurePosixPath, beside_normal: set[PurePosixPath]) -> FolderColumns:
    split = label = finding = ""
    for inner in [*reversed(folder.parents), folder]:
        words = _words(inner.name)
        said = _read(inner.name)
        split = said.split or split
        if said.label:
            label, finding = said.label, ""
        elif (
            inner.name
            and not said.split
            and words not in _UNLABELLED | _MASKS
            and inner.parent in beside_normal
        ):
            label, finding = "abnormal", words
    return FolderColumns(split, label, finding)


def _read(name: str) -> FolderColumns:
    """What one folder name says by itself, as a whole or, if every word is known, word by word."""
    whole = _words(name)
    if (said := _word(whole)) != FolderColumns():
        return said
    parts = [_word(word) for word in whole.split()]
    if not parts or FolderColumns() in parts:
        return FolderColumns()
    return FolderColumns("".join(p.split for p in parts[:2]), "".join(p.label for p in parts[:2]))


def _word(word: str) -> FolderColumns:
    label = "normal" if word in _NORMAL else "abnormal" if word in _ABNORMAL else ""
    return FolderColumns(_SPLITS.get(word, ""), label)


def _words(name: str) -> str:
    return " ".join(re.split(r"[_\-\s]+", name.strip().lower()))


def _stem(path: PurePosixPath) -> str:
    name = path.name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else path.stem


def _shared_folders(mask: PurePosixPath, image: PurePosixPath) -> int:
    return len(set(mask.parts[:-1]) & set(image.parts[:-1]))
