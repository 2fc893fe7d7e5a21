"""Masks that a converter makes: of boxes in a table, or of several outlines of one image. They lie beside the
manifest."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence

import numpy as np

from secondread.cohorts.labels.box_masks import BoxMasks, write_box_masks
from secondread.cohorts.labels.boxes import Box
from secondread.cohorts.listing.file_reading import headers_of
from secondread.datasets.dataset import Dataset
from secondread.errors import DataError, UserError
from secondread.images.read import read_image
from secondread.outputs.whole import write_whole
from secondread.wording.lists import few
from secondread.wording.numbers import count
from secondread.wording.sizes import times


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


def joined_masks(dataset: Dataset, masks: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The one mask of each image of several outlines, relative to the root: what any of them marks."""
    several = {image: own for image, own in masks.items() if len(own) > 1}
    joined = {image: own[0] for image, own in masks.items() if len(own) == 1}
    if not several:
        return joined
    if dataset.masks_beside is None:
        dataset.notes.append(
            f"no masks of {count(len(several), 'image')} with several: no manifest is written"
        )
        return joined
    place = BoxMasks.beside(dataset.masks_beside)
    for image, own in several.items():
        outlines = [np.any(read_image(str(dataset.folder.root / each)).pixels != 0, axis=0) for each in own]
        if len({outline.shape for outline in outlines}) > 1:
            told = " and ".join(times(outline.shape) for outline in outlines)
            raise UserError(
                f"{own[0]}: the masks of one image have other sizes ({told}); unpack the set again"
            )
        joined[image] = os.path.relpath(_written(place, image, np.any(outlines, axis=0)), dataset.folder.root)
    dataset.notes.append(
        f"{count(len(several), 'image')} with several masks have one that joins them, in {place.folder}"
    )
    return joined


def _written(place: BoxMasks, image: str, mask: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    path = place.place(image)
    write_whole(path, buffer.getvalue())
    return str(path.absolute())
