"""Small components of what a map calls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def without_small(anomaly_map: NDArray[np.float32], threshold: float, smallest: int) -> NDArray[np.float32]:
    """The map `[*size]`, in which components of pixels at or above the threshold that have fewer than
    `smallest` pixels got the next value below it. Pixels that touch at a corner are of one component."""
    from scipy.ndimage import generate_binary_structure, label

    called = anomaly_map >= threshold
    labels, count = label(called, generate_binary_structure(anomaly_map.ndim, anomaly_map.ndim))
    small = np.bincount(labels.ravel(), minlength=count + 1) < smallest
    small[0] = False
    below = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    return np.where(small[labels], below, anomaly_map)
