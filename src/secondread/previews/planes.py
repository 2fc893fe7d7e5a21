"""Prepared images as pictures of 8 bits: a picture as it is, of a volume its three middle planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondread.preprocessing.percentiles import Percentiles
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.preprocessing.window import Window

Planes = tuple[NDArray[np.uint8], ...]
"""Each `[rows, columns]`, or `[rows, columns, 3]` in colour."""


def bounded(settings: PreprocessingSettings) -> bool:
    """Whether prepared values lie in [0, 1]: the last step that changes values is a window or percentiles."""
    return bool(settings.intensity_steps) and isinstance(settings.intensity_steps[-1], Window | Percentiles)


def eight_bits(values: NDArray[np.float32], scale: tuple[float, float]) -> NDArray[np.uint8]:
    """A picture `[C, rows, columns]`; `scale` are the values shown as black and as white."""
    low, high = scale
    grey = np.clip((values - np.float32(low)) / np.float32(max(high - low, 1e-12)), 0, 1)
    shown = np.rint(grey * 255).astype(np.uint8)
    return np.moveaxis(shown, 0, -1) if len(shown) == 3 else shown[0]


def planes(
    values: NDArray[np.float32], scale: tuple[float, float], at: Sequence[int] | None = None
) -> Planes:
    """Of `[C, rows, columns]` the picture; of `[C, slices, rows, columns]` the slice, the row and the column
    through `at`, or the middle ones, each through the whole volume."""
    if values.ndim == 3:
        return (eight_bits(values, scale),)
    place = at or tuple(length // 2 for length in values.shape[1:])
    return tuple(eight_bits(np.take(values, place[axis], 1 + axis), scale) for axis in range(3))
