"""Conformal p-values against calibration normals, and the threshold and promise that follow.

V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (2005); with several images
per patient the hierarchical form of Y. Lee, R. Barber, R. Willett, "Distribution-free inference with
hierarchical data" (2023): every patient weighs 1, shared among the patient's images.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from secondread.calibration.part_mixture import require_finite
from secondread.calibration.raw_scores import Floats
from secondread.metrics.patients import patient_numbers
from secondread.metrics.realised_rate import realised_range

TOLERANCE = 5e-4
"""How far one image's score in float32 may differ between processors and numbers of threads, as a share of
the spread of calibration scores; measured by `benchmarks/machines/across_processors.py`."""
ROUNDING = 2.0**-20
"""And as a share of the numbers that it is made of: eight units in the last place of float32."""
WIDEST = 10
"""Tolerances that a group of tied calibration scores may span."""


def spread(scores: ArrayLike) -> float:
    """The interquartile range over 1.349, which is the standard deviation of normal scores, or the standard
    deviation where that is 0. 0 for no score."""
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        return 0.0
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) / 1.349 or float(values.std())


def tolerance(scores: ArrayLike, size: float = 0.0) -> float:
    """The difference within which a score counts as tied with one of these calibration scores: `TOLERANCE`
    of their spread and `ROUNDING` of `size`, that of the numbers of which the scores are made."""
    return TOLERANCE * spread(scores) + ROUNDING * size


@dataclass(frozen=True)
class Conformal:
    """Calibration scores, ascending, with weights that add up to 1 for each of `patients`.

    A score within `tolerance` of a calibration score is tied with it, and so are neighbouring calibration
    scores no farther apart than twice that, each with the next: a tie counts against the image, as in "at
    or above". So an image that lies among these has one p-value on every processor whose rounding moves
    its score by less than `tolerance`. P-values are never smaller than without ties, so that what they
    promise still holds; where scores are not tied they are the same.

    Where calibration scores lie so dense that a group of ties would span more than `WIDEST` tolerances it is
    cut, so that ties never cost more than that; an image at such a cut may have the p-value of either side.
    """

    scores: Floats
    weights: Floats
    patients: int
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"the tolerance of ties is {self.tolerance}; it must be 0 or above, and finite")
        if self.scores.ndim != 1 or self.scores.shape != self.weights.shape:
            raise ValueError(
                f"calibration scores {self.scores.shape} and weights {self.weights.shape} differ"
            )
        require_finite(self.scores, "the score of calibration image")
        if (np.diff(self.scores) < 0).any() or not (self.weights > 0).all():
            raise ValueError("calibration scores must ascend and their weights be above 0")
        if not math.isclose(float(self.weights.sum()), self.patients, rel_tol=1e-9, abs_tol=1e-9):
            raise ValueError(
                f"calibration weights add up to {self.weights.sum()} for {self.patients} patients"
            )

    @classmethod
    def fit(cls, scores: ArrayLike, patients: Sequence[Hashable | None], *, tolerance: float = 0.0) -> Self:
        """From scores `[n]` and a patient each; a patient of None is one of its own."""
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (len(patients),):
            raise ValueError(f"{len(patients)} patients are given for calibration scores {values.shape}")
        require_finite(values, "the score of calibration image")
        number = patient_numbers(patients)
        weights = 1.0 / np.bincount(number)[number] if number.size else np.zeros(0)
        order = np.argsort(values, kind="stable")
        return cls(values[order], weights[order], int(number.max(initial=-1)) + 1, tolerance)

    @cached_property
    def _above(self) -> Floats:
        """`[n + 1]`: weight of the calibration scores from each place upwards (0 past the end)."""
        # rounding keeps three thirds one, so that a p-value equals the rate where it should
        return np.append(np.round(np.cumsum(self.weights[::-1])[::-1], 9), 0.0)

    @cached_property
    def _reach(self) -> Floats:
        """`[n]`, ascending: up to where a score is at or below each calibration score, ties included: the
        highest of those that are tied with it, and `tolerance` more."""
        reach = self.scores.copy()
        for place in np.flatnonzero(np.diff(self.scores) <= 2 * self.tolerance)[::-1]:
            if reach[place + 1] - self.scores[place] <= WIDEST * self.tolerance:
                reach[place] = reach[place + 1]
        return reach + self.tolerance

    def p_values(self, scores: ArrayLike) -> Floats:
        """`(1 + sum of weights with calibration score >= s) / (patients + 1)`, `[n]` in (0, 1], where ties
        are `>=`.

        For a new normal image of a new patient, exchangeable with these, `P(p <= a) <= a` for every a.
        ValueError names a score that is not finite.
        """
        values = np.asarray(scores, dtype=np.float64)
        require_finite(values, "the score of image")
        return (1.0 + self._above[np.searchsorted(self._reach, values, side="left")]) / (self.patients + 1)

    def threshold(self, rate: float) -> float:
        """Flagging scores at or above it is flagging `p <= rate`, exactly; +inf where no score can be.

        It lies one floating-point step above what is tied with the highest calibration score whose p-value
        exceeds `rate`.
        """
        if not 0.0 < rate < 1.0:
            raise ValueError(f"the false-alarm rate {rate} must lie between 0 and 1")
        if 1.0 / (self.patients + 1) > at_most(rate):
            return math.inf
        own = (1.0 + self._above[:-1]) / (self.patients + 1)
        kept = self._reach[own > at_most(rate)]
        return float(np.nextafter(kept[-1], np.inf))

    def realised_range(self, rate: float, level: float = 0.95) -> tuple[float, float] | None:
        """The range in which the false-alarm rate among new normals lies for this calibration set
        (`metrics.realised_rate`). None where nothing can be flagged."""
        return realised_range(rate, self.patients, level)


def at_most(rate: float) -> float:
    """The rate with room for the last bit of a quotient."""
    return rate * (1.0 + 1e-12)
