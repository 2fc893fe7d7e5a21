"""Boxes as mask files beside a manifest, each on the grid of its image."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.cohorts.labels.boxes import Box
from secondread.errors import UserError
from secondread.outputs.whole import write_whole
from secondread.wording.sizes import times

MASKS = ".masks"
"""How the folder beside `films.csv` ends: `films.masks`."""
_LONGEST = 120


@dataclass(frozen=True)
class BoxMasks:
    """A folder for masks beside a manifest: `films.csv` has `films.masks`.

    >>> import pathlib
    >>> from secondread.cohorts.labels.boxes import Box
    >>> from secondread.cohorts.labels.box_masks import BoxMasks
    >>> masks = BoxMasks.beside("films.csv")
    >>> masks.write("a/film.png", (64, 48), [Box(10, 20, 30, 40)]).as_posix()
    'films.masks/a/film.png'
    """

    folder: Path

    @classmethod
    def beside(cls, manifest: str | Path) -> BoxMasks:
        """The folder of a manifest that will be written there."""
        path = Path(manifest)
        return cls(path.with_name(f"{path.stem}{MASKS}"))

    def place(self, image: str) -> Path:
        """Where the mask of an image lies, named by the image's path below the source."""
        path = Path(image)
        folders = [part for part in path.parent.parts if part not in ("..", ".", "/", path.anchor)]
        name = path.name
        for ending in (".nii.gz", path.suffix):
            if ending and name.lower().endswith(ending.lower()):
                name = name[: -len(ending)]
                break
        whole = "/".join([*folders, name])
        if any(mark in whole for mark in "|#\\:") or len(whole.encode()) > _LONGEST:
            return self.folder / f"{hashlib.blake2b(image.encode(), digest_size=12).hexdigest()}.png"
        return self.folder.joinpath(*folders, f"{name}.png")

    def write(self, image: str, size: Sequence[int], boxes: Sequence[Box], *, shares: bool = False) -> Path:
        """Write the mask of an image (a PNG of its rows and columns, 255 within the boxes), and return where.

        size    rows and columns of the image as it is read
        shares  boxes are in shares of the width and height (`boxes_of` with sizes), not in pixels

        Raises UserError where the image is no picture, and as `box_mask` does.
        """
        from PIL import Image

        if len(size) != 2:
            raise UserError(f"{image}: has boxes and {len(size)} axes; boxes are for pictures")
        mask = placed_box_mask(image, size, boxes, shares=shares)
        buffer = io.BytesIO()
        Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
        path = self.place(image)
        write_whole(path, buffer.getvalue())
        return path


def placed_box_mask(
    image: str, size: Sequence[int], boxes: Sequence[Box], *, shares: bool
) -> NDArray[np.bool_]:
    """`box_mask` of boxes in pixels, or in shares of the width and height."""
    rows, columns = size
    placed = [box.scaled(columns, rows) for box in boxes] if shares else boxes
    return box_mask(image, (rows, columns), placed)


def box_mask(image: str, size: tuple[int, int], boxes: Sequence[Box]) -> NDArray[np.bool_]:
    """`[rows, columns]`, True in each pixel that a box touches; what lies outside is cut off.

    Raises UserError for a box of which most lies outside: then it belongs to another picture, or to this one
    at another size.
    """
    mask = np.zeros(size, np.bool_)
    rows, columns = size
    for box in boxes:
        left, right = max(0.0, box.left), min(float(columns), box.right)
        top, bottom = max(0.0, box.top), min(float(rows), box.bottom)
        inside = max(0.0, right - left) * max(0.0, bottom - top)
        if inside < 0.5 * (box.right - box.left) * (box.bottom - box.top):
            line = f" (line {box.line})" if box.line else ""
            raise UserError(
                f"{image}: a box{line} from column {box.left:g}, row {box.top:g} to column {box.right:g}, "
                f"row {box.bottom:g} lies outside of its {times(size)} pixels; was the picture resized? "
                "name the columns with the size that it had (--box-size-columns)"
            )
        mask[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = True
    return mask


def write_box_masks(
    masks: BoxMasks,
    boxes: Mapping[str, Sequence[Box]],
    sizes: Mapping[str, Sequence[int]],
    *,
    shares: bool = False,
) -> dict[str, Path]:
    """The mask file of each image that has boxes; `sizes` are those of the images as they are read. Nothing
    is written where one of them cannot be."""
    for image, own in boxes.items():
        if len(sizes[image]) == 2:
            placed_box_mask(image, sizes[image], own, shares=shares)
    return {image: masks.write(image, sizes[image], own, shares=shares) for image, own in boxes.items()}
