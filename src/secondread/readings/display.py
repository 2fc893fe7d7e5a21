"""Pixels as a screen shows them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Image, Voi
from secondread.images.precision import as_float
from secondread.images.several_files import SeveralFiles


def display(image: Image) -> NDArray[np.uint8]:
    """Pixels `[1 or 3, *spatial]` as a screen shows them, of several files those of the first: by the
    header's window or table, 8-bit colour as it is, anything else from its 0.5th to its 99.5th percentile.
    Padding and non-finite voxels are dark."""
    if isinstance(image, SeveralFiles):
        return display(image.parts[0])
    if image.pixels.dtype == np.uint8 and image.pixels.shape[0] == 3:
        return np.asarray(image.pixels, np.uint8)
    values = as_float(image.pixels[: 3 if image.pixels.shape[0] >= 3 else 1])
    shown = np.isfinite(values)
    if image.padding is not None:
        shown &= ~image.padding
    if not shown.any():
        return np.zeros(values.shape, np.uint8)
    voi = image.voi
    if voi is not None and (voi.table is not None or (voi.width and voi.center is not None)):
        grey = _by_voi(values, voi)
    else:
        sample = values[shown]
        low, high = np.percentile(sample[:: max(1, sample.size // 200_000)], [0.5, 99.5])
        grey = (values - low) / max(float(high - low), 1e-12)
    grey = np.where(shown, np.nan_to_num(grey), 0)
    return np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def _by_voi(values: NDArray[np.floating], voi: Voi) -> NDArray[np.float32]:
    if voi.table is not None:
        index = np.clip(np.nan_to_num(values) - voi.first, 0, len(voi.table) - 1).astype(int)
        table = voi.table
        return np.asarray((table[index] - table.min()) / max(float(np.ptp(table)), 1e-12), np.float32)
    return np.asarray((values - (voi.center or 0.0)) / max(voi.width or 1.0, 1e-12) + 0.5, np.float32)
