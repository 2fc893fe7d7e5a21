"""The foreground of an image: by a threshold on prepared values, or by a mask that comes with the image."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Tag

from secondread.images.image import Image, ImageError
from secondread.images.several_files import SeveralFiles, as_one_image, channels_of
from secondread.settings.base import Settings


class Above(Settings):
    """Foreground is where some channel of the prepared image lies above a value.

    above    in prepared values: in [0, 1] after window or percentiles
    largest  of it, the largest connected component alone (neighbours along the axes)
    filled   its holes belong to it
    """

    above: float
    largest: bool = False
    filled: bool = False

    def of(self, pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """bool `[*size]`, of prepared pixels `[C, *size]` that are valid there; False everywhere where none
        lies above."""
        from scipy.ndimage import binary_fill_holes, label

        found: NDArray[np.bool_] = np.asarray((pixels > np.float32(self.above)).any(axis=0))
        if valid is not None:
            found &= valid
        if self.largest and found.any():
            labels, _ = label(found)
            sizes = np.bincount(labels.ravel())
            sizes[0] = 0
            found = labels == sizes.argmax()
        if self.filled:
            found = np.asarray(binary_fill_holes(found))
        return found if valid is None else found & valid


def _kind_of(written: Any) -> str | None:
    if isinstance(written, Above | dict):
        return "foreground"
    return "name" if written in ("none", "given", "regions") else None


Foreground = Annotated[
    Annotated[Literal["none", "given", "regions"], Tag("name")] | Annotated[Above, Tag("foreground")],
    Discriminator(
        _kind_of,
        custom_error_type="foreground",
        custom_error_message="should be none, given, regions, or a threshold such as {above: 0.05}",
    ),
]


def cut(
    pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None, above: Above
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, tuple[str, ...]]:
    """Prepared pixels `[C, *size]`, of which what is no foreground has its channel's lowest value; where they
    are valid; remarks. Where nothing lies above, all stays as it is, with a remark."""
    found = above.of(pixels, valid)
    if not found.any():
        return pixels, valid, (f"no value lies above {above.above:g}: the whole image counts as foreground",)
    if found.all():
        return pixels, valid, ()
    repeated = pixels.shape[0] > 1 and pixels.strides[0] == 0
    channels = pixels[:1] if repeated else pixels
    lowest = channels.min(axis=tuple(range(1, channels.ndim)), keepdims=True)
    kept = np.where(found, channels, lowest)
    return np.broadcast_to(kept, pixels.shape) if repeated else kept, found, ()


def without_mask(image: Image, files: int) -> tuple[Image, NDArray[np.bool_]]:
    """The image of `files` files without its last one, which is a mask, and where that marks foreground,
    bool `[*spatial]`: any value but 0. Source and digest stay those of both.

    Raises ImageError where there are not so many files, or the mask marks nothing.
    """
    *parts, mask = channels_of(image, files, masked=True)
    marked: NDArray[np.bool_] = np.asarray((mask.pixels != 0).any(axis=0))
    if not marked.any():
        name = f"{os.path.basename(mask.source)}, " if isinstance(image, SeveralFiles) else ""
        raise ImageError(
            image.source,
            f"{name}the mask of its foreground, marks nothing",
            "mark what is to be judged, or leave the image out",
        )
    if not isinstance(image, SeveralFiles):
        return replace(image, pixels=image.pixels[:files]), marked
    whole = parts[0] if files == 1 else as_one_image(parts, image.source)
    return replace(whole, source=image.source, digest=image.digest), marked


def within(image: Image, marked: NDArray[np.bool_]) -> Image:
    """The image with padding wherever the mask marks nothing."""
    outside = ~marked if image.padding is None else image.padding | ~marked
    return replace(image, padding=outside)
