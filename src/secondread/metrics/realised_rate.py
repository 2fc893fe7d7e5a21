"""What a conformal threshold gives: how far the rate of false alarms may lie from the one that was asked
for."""

from __future__ import annotations

import math


def patients_needed(rate: float) -> int:
    """The fewest calibration patients with which anything can be flagged: `ceil(1 / rate) - 1`."""
    return math.ceil(1.0 / rate - 1e-9) - 1


def realised_range(rate: float, patients: int, level: float = 0.95) -> tuple[float, float] | None:
    """The central `level` of the rate among new normals, over calibration sets of so many patients.

    With k = floor(rate (n + 1)) of n patients the realised rate follows Beta(k, n + 1 - k): exact for one
    image per patient and no ties, approximate otherwise. None where nothing can be flagged. V. Vovk, Asian
    Conference on Machine Learning 2012, proposition 2.

    >>> low, high = realised_range(0.05, 99)
    >>> round(low, 3), round(high, 3)
    (0.017, 0.1)
    """
    flagged = math.floor(rate * (patients + 1) + 1e-9)
    if flagged == 0:
        return None
    from scipy import special  # takes a moment to import, and only this needs it

    tails = (1 - level) / 2, (1 + level) / 2
    low, high = (float(special.betaincinv(flagged, patients + 1 - flagged, tail)) for tail in tails)
    return low, high
