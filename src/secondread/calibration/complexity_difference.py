"""The likelihood that an image's complexity does not explain: Serrà's difference.

J. Serrà et al., "Input complexity and out-of-distribution detection with likelihood-based generative
models", ICLR 2020.
"""

from __future__ import annotations

import math

import numpy as np

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.complexity import COMPLEXITY
from secondread.calibration.part_mixture import require_finite
from secondread.calibration.raw_scores import Floats, RawScores
from secondread.errors import UserError


def complexity_of(raw: RawScores) -> Floats:
    """The part `complexity` `[n]`, bits per dimension. ValueError where it is missing or not finite."""
    if COMPLEXITY not in raw.parts:
        raise ValueError(f"calibration takes complexity out, and the raw scores lack the part {COMPLEXITY!r}")
    values = np.asarray(raw.parts[COMPLEXITY], dtype=np.float64)
    require_finite(values, f"part {COMPLEXITY!r} of image")
    return values


def complexity_difference(raw: RawScores, settings: CalibrationSettings) -> RawScores:
    """Serrà's `-log2 p - L` in bits per dimension in the place of -log p; higher = more abnormal."""
    name = str(settings.complexity_part)
    if name not in raw.parts:
        raise UserError(
            f"calibration.complexity_part {name!r} is no part of the detector, which gives "
            f"{', '.join(raw.parts)}"
        )
    bits = raw.parts[name] / (math.log(2) if settings.complexity_unit == "nats" else 1.0)
    return raw.with_part(name, bits - complexity_of(raw), "upper")
