"""Archives in MedMNIST's layout as rows: `train_images` and `train_labels`, and so on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from secondread.cohorts.manifest import Row
from secondread.images.image import ImageError
from secondread.images.npz import list_members

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def rows_of_npz(path: Path, written: str, normal_class: int = 0) -> list[Row]:
    """One row per image of an archive; `written` is how the manifest names it.

    A label equal to `normal_class` is normal, any other abnormal with the finding `class-<label>`
    (none where there are two classes). Several labels per image (`[n, k]` of 0 and 1) are findings; an
    image with none of them is normal. Arrays without labels give unlabelled rows. Nothing is unpickled.
    Raises ImageError for a file that is no such archive and for labels that do not fit.
    """
    shapes = {member.name: member.shape for member in list_members(path)}
    rows: list[Row] = []
    with np.load(path, allow_pickle=False) as archive:
        for name, split in _SPLITS.items():
            images, labels = f"{name}_images", f"{name}_labels"
            if images not in shapes:
                continue
            count = shapes[images][0]
            if labels in shapes:
                named = _labels(path, labels, archive[labels], count, normal_class)
            else:
                named = [("", "")] * count
            rows += [
                Row(path=f"{written}#{images}/{i}", split=split, label=label, finding=finding)
                for i, (label, finding) in enumerate(named)
            ]
    if not rows:
        held = ", ".join(shapes) or "no arrays"
        raise ImageError(str(path), f"no array train_images, val_images or test_images, but {held}")
    return rows


def _labels(
    path: Path, name: str, values: np.ndarray, count: int, normal_class: int
) -> list[tuple[str, str]]:
    """Label and finding of each image."""
    if len(values) != count or values.dtype.kind not in "bui":
        problem = f"{name} {values.shape} {values.dtype} are no labels for {count} images"
        raise ImageError(str(path), problem)
    table = values.reshape(count, -1).astype(int)
    if table.shape[1] > 1:
        found = [";".join(f"class-{k}" for k in np.flatnonzero(line)) for line in table]
        return [("abnormal", finding) if finding else ("normal", "") for finding in found]
    binary = len(np.unique(table)) <= 2
    return [
        ("normal", "") if value == normal_class else ("abnormal", "" if binary else f"class-{value}")
        for value in table[:, 0]
    ]
