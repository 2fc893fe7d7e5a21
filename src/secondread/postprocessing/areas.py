"""Where a map counts, and where the image lets it keep its values. SciPy comes when it is used: it takes a
moment to import, and whoever reads a calibration needs none of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.postprocessing.map_settings import MapSettings

Bools = NDArray[np.bool_]


def area_of(valid: Bools | None, settings: MapSettings) -> Bools | None:
    """Where maps count, bool `[n, *size]`, of images that are valid there, `[n, 1, *size]`; None = everywhere
    for both."""
    if valid is None:
        return None
    return np.stack([eroded(one[0], settings.erode) for one in valid])


def eroded(area: Bools, steps: int) -> Bools:
    """The area `[*size]` without what `steps` steps along the axes lead out of, as `steps` erosions by a
    cross do. The edge of the array is no edge of the area."""
    if not steps or area.all():
        return area
    from scipy.ndimage import distance_transform_cdt

    return np.asarray(distance_transform_cdt(area, metric="taxicab") > steps)


def allowed(image: NDArray[np.float32], settings: MapSettings) -> Bools:
    """bool `[*size]`, where some channel of a prepared image `[C, *size]` lies within the prior's bounds."""
    within = np.ones(image.shape, bool)
    if settings.at_least is not None:
        within &= image >= np.float32(settings.at_least)
    if settings.at_most is not None:
        within &= image <= np.float32(settings.at_most)
    return np.asarray(within.any(axis=0))
