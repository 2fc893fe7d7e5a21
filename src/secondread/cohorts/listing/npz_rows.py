"""Archives in MedMNIST's layout as rows: `train_images` and `train_labels`, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.cohorts.row import Row
from secondread.images.formats.npz import NO_ARRAYS, Member, list_members
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.refusal import refusing

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Archive:
    """What an archive says of itself, as a worker reads it.

    shapes  of all arrays, by name
    labels  int64 `[n, k]` of each split that has images and labels, by the split's name in the archive
    """

    path: str
    shapes: Mapping[str, tuple[int, ...]]
    labels: Mapping[str, NDArray[np.int64]]


def read_archive(path: str) -> Archive:
    """The shapes and labels of an archive. Nothing is unpickled.

    Raises ImageError for a file that is no such archive and for labels that do not fit.
    """
    shapes = {member.name: member.shape for member in list_members(path)}
    labels: dict[str, NDArray[np.int64]] = {}
    with refusing(path, "labels that cannot be read"), np.load(path, allow_pickle=False) as archive:
        for split in _SPLITS:
            images, name = f"{split}_images", f"{split}_labels"
            if images in shapes and name in archive.files:
                labels[split] = _labels(path, name, archive[name], shapes[images][:1])
    return Archive(path, shapes, labels)


def image_members(path: str, members: Iterable[Member]) -> list[str]:
    """`array/N` of every image in an archive: of all of its arrays of three axes or more. Raises ImageError
    for more images than a file may hold."""
    stacks = [member for member in members if len(member.shape) >= 3]
    for stack in stacks:
        ReadLimits().check_count(path, stack.shape[0], "images")
    return [f"{stack.name}/{number}" for stack in stacks for number in range(stack.shape[0])]


def _labels(path: str, name: str, values: np.ndarray, count: tuple[int, ...]) -> NDArray[np.int64]:
    if values.shape[:1] != count or not values.size or values.dtype.kind not in "bui":
        problem = f"{name} {values.shape} {values.dtype} are no labels for {count[0] if count else 0} images"
        raise ImageError(path, problem)
    return values.reshape(len(values), -1).astype(np.int64)


def rows_of_archive(archive: Archive, written: str, normal_class: int = 0) -> list[Row]:
    """One row per image of an archive; `written` is how the manifest names it.

    A label equal to `normal_class` is normal, any other abnormal with the finding `class-<label>`
    (none where there are two classes). Several labels per image (`[n, k]` of 0 and 1) are findings; an
    image with none of them is normal. Arrays without labels give unlabelled rows. Raises ImageError where
    there are no images, or more than a file may hold.
    """
    rows: list[Row] = []
    for name, split in _SPLITS.items():
        images = f"{name}_images"
        if not archive.shapes.get(images):
            continue
        count = archive.shapes[images][0]
        ReadLimits().check_count(archive.path, count, "images")
        labels = archive.labels.get(name)
        if labels is not None and (labels.ndim != 2 or len(labels) != count or not labels.size):
            raise ImageError(archive.path, f"{name}_labels {labels.shape} are no labels for {count} images")
        named = [("", "")] * count if labels is None else _named(labels, normal_class)
        rows += [
            Row(path=f"{written}#{images}/{i}", split=split, label=label, finding=finding)
            for i, (label, finding) in zip(range(count), named, strict=True)
        ]
    if not rows:
        if not archive.shapes:
            raise ImageError(archive.path, *NO_ARRAYS)
        held = ", ".join(archive.shapes)
        problem = f"no array train_images, val_images or test_images, but {held[:300]}"
        raise ImageError(
            archive.path, problem, "give a stack of images one of these names, and save it again"
        )
    return rows


def _named(labels: NDArray[np.int64], normal_class: int) -> list[tuple[str, str]]:
    """Label and finding of each image."""
    if labels.shape[1] > 1:
        found = [";".join(f"class-{k}" for k in np.flatnonzero(line)) for line in labels]
        return [("abnormal", finding) if finding else ("normal", "") for finding in found]
    binary = len(np.unique(labels)) <= 2
    return [
        ("normal", "") if value == normal_class else ("abnormal", "" if binary else f"class-{value}")
        for value in labels[:, 0]
    ]
