"""What a picture shows, in six numbers: enough to see that another kind of picture comes in."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

FEATURES = ("brightness", "contrast", "sides", "ends", "centre", "roughness")


def features(thumbnail: ArrayLike) -> dict[str, float]:
    """Of a small grey picture `[rows, columns]`, at least 4 of each, in any unit.

    brightness  the mean m
    contrast    the standard deviation s
    sides, ends the right half's mean less the left one's, and the lower one's less the upper one's, over s
    centre      the mean of the middle quarter less m, over s
    roughness   the mean absolute difference of neighbours, over s

    A pixel that is not finite counts as m; all but brightness are 0 where s is 0. ValueError for another
    shape.

    >>> features(np.arange(16.0).reshape(4, 4))["ends"] > features(np.arange(16.0).reshape(4, 4))["sides"] > 0
    True
    """
    picture = np.asarray(thumbnail, dtype=np.float64)
    if picture.ndim != 2 or min(picture.shape) < 4:
        raise ValueError(f"features are of a picture of at least 4 × 4, not of {picture.shape}")
    finite = np.isfinite(picture)
    mean = float(picture[finite].mean()) if finite.any() else 0.0
    picture = np.where(finite, picture, mean)
    deviation = float(picture.std())
    found = dict.fromkeys(FEATURES, 0.0) | {"brightness": mean}
    if deviation == 0:
        return found
    rows, columns = picture.shape
    middle = picture[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    differences = [np.abs(np.diff(picture, axis=axis)).mean() for axis in (0, 1)]
    return found | {
        "contrast": deviation,
        "sides": float(picture[:, -(columns // 2) :].mean() - picture[:, : columns // 2].mean()) / deviation,
        "ends": float(picture[-(rows // 2) :].mean() - picture[: rows // 2].mean()) / deviation,
        "centre": float(middle.mean() - mean) / deviation,
        "roughness": float(np.mean(differences)) / deviation,
    }
