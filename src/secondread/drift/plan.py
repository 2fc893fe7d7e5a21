"""What is watched in a stream of studies, and what is promised of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from secondread.drift.evidence import threshold
from secondread.drift.flags import highest_rate

PARTS = {"score": 0.3, "cusum": 0.3, "flags": 0.1, "facts": 0.2, "features": 0.1}
"""How the promised false alarms are shared out; what is not watched leaves its part to the others."""


@dataclass(frozen=True)
class Plan:
    """What is watched in one stream, such as the studies of one scanner. It stands before the first study.

    per_year         false alarms of all its watchers together that a year may have on average
    studies_per_year how many studies come: a study stands for its inverse, in years
    reference        scores of calibration normals, one for each patient, that the stream is compared with;
                     empty where it is compared with its own beginning
    rate, patients   the false-alarm rate that the calibration promises and the size of its set
    prevalence       the share of abnormal studies that may at most be among these; None = flags are not
                     watched
    facts, features  names of what is watched of how images are made, and of what they show
    seed             of the draws that break ties
    """

    per_year: float
    studies_per_year: float
    reference: Sequence[float] = field(default=(), repr=False)
    rate: float = 0.05
    patients: int = 0
    prevalence: float | None = None
    facts: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.per_year > 0 and self.studies_per_year > 0):
            raise ValueError(
                f"{self.per_year} false alarms and {self.studies_per_year} studies a year are no promise"
            )

    @cached_property
    def highest_rate(self) -> float | None:
        """At most such a share of studies is flagged; None where flags are not watched."""
        return None if self.prevalence is None else highest_rate(self.rate, self.patients, self.prevalence)

    @cached_property
    def shares(self) -> dict[str, float]:
        """Watcher -> its share of the promised false alarms; together 1."""
        parts = {"score": ["score"], "cusum": ["cusum"]}
        if self.highest_rate is not None:
            parts["flags"] = ["flags"]
        if self.facts:
            parts["facts"] = [f"fact {name}" for name in self.facts]
        if self.features:
            parts["features"] = [f"feature {name}" for name in self.features]
        whole = sum(PARTS[part] for part in parts)
        return {name: PARTS[part] / whole / len(names) for part, names in parts.items() for name in names}

    def threshold(self, watcher: str) -> float:
        """In years; see `evidence`."""
        return threshold(self.per_year, self.shares[watcher])
