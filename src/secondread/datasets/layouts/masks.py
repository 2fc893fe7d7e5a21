"""Masks that a converter makes of boxes in a table. They lie beside the manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from secondread.cohorts.labels.box_masks import BoxMasks, write_box_masks
from secondread.cohorts.labels.boxes import Box
from secondread.cohorts.listing.file_reading import headers_of
from secondread.datasets.dataset import Dataset
from secondread.errors import DataError
from secondread.wording.lists import few
from secondread.wording.numbers import count


def masks_of_boxes(dataset: Dataset, boxes: Mapping[str, Sequence[Box]], *, shares: bool) -> dict[str, str]:
    """The mask of each image that has boxes, relative to the root; the images' headers say how large they
    are. Where no manifest will be written there is no place for masks, and a note says so.

    shares  boxes are in shares of the width and height, not in pixels
    """
    if not boxes:
        return {}
    if dataset.masks_beside is None:
        dataset.notes.append(f"no masks of {count(len(boxes), 'image')} with boxes: no manifest is written")
        return {}
    root = dataset.folder.root
    headers, aside = headers_of(root, list(boxes), dataset.workers)
    if aside:
        told = few([str(each) for each in aside], 2)
        raise DataError(
            f"{root}: {count(len(aside), 'image')} with boxes cannot be read: {told}; unpack the set again"
        )
    sizes = {path: header.size for path, header in headers.items()}
    written = write_box_masks(BoxMasks.beside(dataset.masks_beside), boxes, sizes, shares=shares)
    dataset.notes.append(
        f"{count(len(written), 'mask')} made of boxes, in {BoxMasks.beside(dataset.masks_beside).folder}"
    )
    return {path: os.path.relpath(mask.absolute(), root) for path, mask in written.items()}
