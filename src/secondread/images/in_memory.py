"""An array that is in memory already becomes an image, as a file does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from secondread.images.image import Geometry, Image, ImageError
from secondread.images.source import digest_of


def image_of(
    array: Any, rank: int, *, spacing: Sequence[float] | None = None, source: str = "the image"
) -> Image:
    """The array as an image of that rank, in its own values: `[*spatial]` (grey) or `[C, *spatial]`.

    array    anything that NumPy takes, a tensor on any device among it; integers or floats
    spacing  millimetres between neighbours along each spatial axis, where a recipe resamples
    source   what messages call it

    Its axes are taken as they are: nothing turns a volume, as reading a file does, into one orientation for
    all. Its type counts as a file's does: `window: header` shows uint8 and uint16 over their whole range, and
    other numbers from their lowest to their highest. Its digest is that of its bytes.

    Raises ImageError where it is no such array.
    """
    if hasattr(array, "detach"):
        array = array.detach().cpu()
    pixels = np.asarray(array)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "uif":
        raise ImageError(source, f"an array of {pixels.dtype} is no image", "give integers or floats")
    if pixels.ndim not in (rank, rank + 1) or not pixels.size:
        raise ImageError(
            source,
            f"an array of shape {pixels.shape} is no image with {rank} spatial axes",
            f"give [*spatial] or [C, *spatial], {rank} or {rank + 1} axes",
        )
    if spacing is not None and (len(spacing) != rank or not all(0 < step < np.inf for step in spacing)):
        raise ImageError(
            source, f"the spacing {tuple(spacing)} is not {rank} millimetres above 0", "one for each axis"
        )
    pixels = np.ascontiguousarray(pixels if pixels.ndim == rank + 1 else pixels[np.newaxis])
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    geometry = Geometry(None if spacing is None else tuple(float(step) for step in spacing))
    return Image(pixels, geometry, source, digest_of(pixels.tobytes()))
