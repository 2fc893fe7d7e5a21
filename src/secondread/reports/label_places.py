"""Where the labels of points stand, so that they cover neither each other nor the points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AWAY = 0.135
"""Inches from a point to the middle of its label."""
DIRECTIONS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0), (0.8, 0.8), (0.8, -0.8), (-0.8, -0.8), (-0.8, 0.8)])


def free_places(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """For points `[n, 2]` in inches, offsets `[n, 2]` of their labels: of eight directions and two lengths,
    the one farthest from what is drawn already, near ones first."""
    offsets = np.zeros_like(points)
    taken = [*points]
    for index, point in enumerate(points):
        candidates = np.concatenate([AWAY * DIRECTIONS, 1.8 * AWAY * DIRECTIONS])
        others = np.array([place for number, place in enumerate(taken) if number != index])
        if len(others):
            gaps = np.linalg.norm((point + candidates)[:, None] - others[None], axis=2).min(axis=1)
            chosen = candidates[int(np.argmax(np.minimum(gaps, AWAY)))]
        else:
            chosen = candidates[0]
        offsets[index] = chosen
        taken.append(point + chosen)
    return offsets
