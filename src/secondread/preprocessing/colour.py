"""Grey or colour: how many channels a prepared image has."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import ImageError

Colour = Literal["grey", "rgb"]

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in luma (ITU-R BT.601-7, section 2.5.1)."""


def to_grey(values: NDArray[np.floating], source: str) -> NDArray[np.floating]:
    """`[3, *spatial]` to `[1, *spatial]` by luminance; one channel stays as it is."""
    if values.shape[0] == 1:
        return values
    if values.shape[0] != 3:
        raise ImageError(
            source,
            f"has {values.shape[0]} channels",
            "give an image with one channel (grey) or three (red, green, blue)",
        )
    return np.tensordot(LUMINANCE, values, axes=1)[np.newaxis].astype(values.dtype, copy=False)


def to_rgb(values: NDArray[np.float32], source: str) -> NDArray[np.float32]:
    """`[1, *spatial]` to `[3, *spatial]` by repetition (a read-only view); three channels stay."""
    if values.shape[0] == 3:
        return values
    if values.shape[0] != 1:
        to_grey(values, source)
    return np.broadcast_to(values, (3, *values.shape[1:]))
