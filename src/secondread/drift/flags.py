"""Whether more studies are flagged than was promised, where some of them are abnormal.

Calibration promises a rate of false alarms among normals. What comes in holds abnormal studies too, at most a
share `prevalence` of them; and the rate that a calibration set of n patients really gives is one draw from
Beta(k, n + 1 - k), k = floor(rate (n + 1)) (`metrics.realised_rate`). With q+ its quantile 1 - `doubt`, flags
of studies that are independent given the calibration set come at a rate of at most

    q_0 = (1 - prevalence) q+ + prevalence.

For a flag f in {0, 1} and q_1 > q_0 the likelihood ratio b = (q_1 / q_0)^f ((1 - q_1) / (1 - q_0))^(1 - f)
has a mean of at most 1 under every rate up to q_0, so it is a bet (`evidence`), and the promise holds for all
but a share `doubt` of the calibration sets.
"""

from __future__ import annotations

import math

DOUBT = 0.05
STEPS = (0.1, 0.25, 0.5)
"""q_1 lies so far from q_0 to 1."""


def highest_rate(rate: float, patients: int, prevalence: float) -> float | None:
    """q_0; None where so few patients flag nothing.

    >>> round(highest_rate(0.05, 199, 0.0), 3), round(highest_rate(0.05, 199, 0.1), 3)
    (0.078, 0.17)
    """
    if not 0 <= prevalence < 1:
        raise ValueError(f"a prevalence of {prevalence} is no share below 1")
    flagged = math.floor(rate * (patients + 1) + 1e-9)
    if flagged == 0:
        return None
    from scipy import special

    highest = float(special.betaincinv(flagged, patients + 1 - flagged, 1 - DOUBT))
    return (1 - prevalence) * highest + prevalence


def flag_bets(flagged: bool, highest: float) -> list[float]:
    """Each bet at a flag.

    >>> [round(0.2 * up + 0.8 * down, 6) for up, down in zip(flag_bets(True, 0.2), flag_bets(False, 0.2))]
    [1.0, 1.0, 1.0]
    """
    found = []
    for step in STEPS:
        other = highest + step * (1 - highest)
        found.append(other / highest if flagged else (1 - other) / (1 - highest))
    return found
