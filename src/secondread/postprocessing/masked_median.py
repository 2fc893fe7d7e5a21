"""A median filter that looks at the positions of an area alone."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

AT_ONCE = 1 << 22
"""Values of windows that are gathered together."""


def masked_median(
    values: NDArray[np.float32], area: NDArray[np.bool_] | None, side: int
) -> NDArray[np.float32]:
    """At each position of the area (None = everywhere) the median of `values` `[*size]` over the positions of
    the area in the window of `side` around it; elsewhere the values as they are.

    Beyond the image's edge there is no position. Of an even number of positions it is the mean of the middle
    two.
    """
    if side == 1:
        return values
    if area is None:
        return _filtered(values, np.ones(values.shape, bool), side)
    from scipy.ndimage import find_objects

    boxes = find_objects(area.astype(np.uint8))
    if not boxes:
        return values
    box, done = boxes[0], values.copy()
    done[box] = _filtered(values[box], area[box], side)
    return done


def _filtered(values: NDArray[np.float32], area: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """The same where the area reaches the edges: windows that lie wholly in it are left to scipy."""
    from scipy.ndimage import median_filter, minimum_filter

    whole = minimum_filter(area.astype(np.uint8), side, mode="constant", cval=0) > 0
    filtered = np.where(whole, median_filter(values, side), values) if whole.any() else values.copy()
    windows = sliding_window_view(
        np.pad(np.where(area, values, np.nan), side // 2, constant_values=np.nan), (side,) * values.ndim
    )
    partly = np.argwhere(area & ~whole)
    step = max(1, AT_ONCE // side**values.ndim)
    for start in range(0, len(partly), step):
        at = tuple(partly[start : start + step].T)
        filtered[at] = np.nanmedian(windows[at].reshape(len(at[0]), -1), axis=1)
    return filtered
