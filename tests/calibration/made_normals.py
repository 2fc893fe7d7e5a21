"""Scores of made-up normals, and a calibration of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.calibration.calibration import Calibration
from secondread.calibration.raw_scores import RawScores


@dataclass(frozen=True)
class Mixed:
    """What a detector's Mixture has, without torch."""

    weights: dict
    scaled: bool = True


BOTH = Mixed({"likelihood": 1.0, "residual": 0.5})
MAPS = Mixed({"a": 1.0, "b": 2.0})


def normals(seed, n, maps=False, shift=0.0):
    random = np.random.default_rng(seed)
    return RawScores(
        {
            "likelihood": 100 + 5 * random.normal(size=n) + shift,
            "residual": 0.1 + 0.01 * random.normal(size=n),
            "size": random.normal(size=n),
            "complexity": 4 + 0.5 * random.normal(size=n),
        },
        {"likelihood": "two", "residual": "upper", "size": "upper", "complexity": "upper"},
        {name: random.normal(size=(n, 12, 12)).astype(np.float32) for name in "ab"} if maps else None,
    )


def fitted(**options):
    options = {"mixture": BOTH, "calibration_patients": list(range(60))} | options
    return Calibration.fit(normals(0, 80), normals(1, 60), **options)
