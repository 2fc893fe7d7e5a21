"""One score from several parts: fold, standardise on validation normals, add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.raw_scores import Floats, RawScores, Tail
from secondread.errors import UserError

# below this share of its size, a part's spread is float32 rounding, and dividing by it would
# turn the rounding of a batch into a score
_ROUNDING = 1e-6


@dataclass(frozen=True)
class PartScale:
    """How one part enters: `weight * (fold(x) - mean) / sd`, fold(x) = |x - median| where two-tailed.

    `spread` is False where the part does not vary among validation normals; then sd is 1.
    """

    weight: float
    tail: Tail
    median: float
    mean: float
    sd: float
    spread: bool

    @classmethod
    def fit(cls, values: Floats, weight: float, tail: Tail) -> Self:
        """From the part `[n]` on validation normals."""
        median = float(np.median(values))
        folded = np.abs(values - median) if tail == "two" else values
        mean, sd = float(folded.mean()), float(folded.std())
        spread = sd > _ROUNDING * float(np.abs(values).max())
        return cls(float(weight), tail, median, mean, sd if spread else 1.0, spread)

    def fold(self, values: Floats) -> Floats:
        return np.abs(values - self.median) if self.tail == "two" else values


@dataclass(frozen=True)
class PartMixture:
    """The weighted sum of parts; of standardised parts where `scaled`.

    A two-tailed part that is not mixed is kept with weight 0, so that what it is measured from is known.
    """

    scaled: bool
    parts: Mapping[str, PartScale]

    @classmethod
    def fit(cls, validation: RawScores, weights: Mapping[str, float], *, scaled: bool) -> Self:
        """UserError where a weight names no part, or there is no validation normal."""
        for name in weights:
            if name not in validation.parts:
                known = ", ".join(sorted(validation.parts))
                raise UserError(f"calibration mixes the part {name!r}, and the detector gives {known}")
        if not weights:
            raise UserError("calibration mixes no part: name at least one in part_weights")
        if not len(validation):
            raise UserError("there is no validation normal: parts cannot be scaled; raise cohorts.validation")
        for name in weights:
            require_finite(validation.parts[name], f"part {name!r} of validation image")
        beside = [name for name, tail in validation.tails.items() if tail == "two" and name not in weights]
        weights = {**weights, **{name: 0.0 for name in beside if np.isfinite(validation.parts[name]).all()}}
        return cls(
            scaled,
            {
                name: PartScale.fit(validation.parts[name], weight, validation.tails[name])
                for name, weight in weights.items()
            },
        )

    def combine(self, raw: RawScores) -> Floats:
        """Scores `[n]`, each from its own image alone. ValueError names an image that is not finite."""
        total = np.zeros(len(raw))
        for name, scale in self.parts.items():
            if scale.weight == 0.0:
                continue
            if name not in raw.parts:
                raise ValueError(f"the raw scores lack the part {name!r}; they hold {sorted(raw.parts)}")
            values = np.asarray(raw.parts[name], dtype=np.float64)
            require_finite(values, f"part {name!r} of image")
            folded = scale.fold(values)
            total = total + scale.weight * ((folded - scale.mean) / scale.sd if self.scaled else folded)
        require_finite(total, "the score of image")
        return total

    def size(self, raw: RawScores) -> float:
        """How large the numbers are that `combine` adds up: the largest of each part, in the score's unit."""
        return sum(
            abs(scale.weight) * float(np.abs(raw.parts[name]).max()) / (scale.sd if self.scaled else 1.0)
            for name, scale in self.parts.items()
            if scale.weight != 0.0
        )


def refuse_complexity_unmixed(settings: CalibrationSettings, weights: Mapping[str, float]) -> None:
    """UserError where complexity is to be taken out of a part that is not among the mixed ones."""
    if settings.complexity == "difference" and settings.complexity_part not in weights:
        raise UserError(
            f"calibration.complexity_part {settings.complexity_part!r} is not among the mixed parts, "
            f"{', '.join(sorted(weights))}"
        )


def require_finite(values: Floats, what: str) -> None:
    """ValueError that names the first index whose value is not finite."""
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        more = f" (and {wrong.size - 1} more)" if wrong.size > 1 else ""
        raise ValueError(f"{what} {wrong[0]} is {values[wrong[0]]}{more}; scores must be finite")
