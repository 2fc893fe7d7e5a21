"""Whether a graph gives the scores that torch gives: checked on the spot, on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.calibration import Calibration
from secondread.calibration.complexity import with_complexity
from secondread.calibration.conformal import TOLERANCE, spread
from secondread.calibration.raw_scores import Floats, RawScores
from secondread.errors import DataError
from secondread.wording.numbers import significant

SHARE = 1e-4
"""Of the spread of normals' scores, by which a graph's score may differ from torch's."""
LAST_BITS = 4
"""And by how many times what torch's own score moves where each pixel moves by its last bit, where that is
more."""
LAST_BIT = 2.0**-24
MOVES = 2
"""How often every pixel's last bit is moved, up or down at random."""

Hear = Callable[[NDArray[np.float32], NDArray[np.bool_] | None, Sequence[str]], RawScores]
"""Raw scores of prepared images: `Scorer.batch` and its like."""


@dataclass(frozen=True)
class Agreement:
    """How far a graph's scores lie from torch's, in float32 on the same images.

    images      how many were compared
    difference  the largest, in the scores' unit
    spread      of normals' scores, that their calibration knows
    own         by how much torch's score of one of these images moves where every pixel moves by its last bit
    rounding    eight units in the last place of the numbers that scores are made of
    """

    images: int
    difference: float
    spread: float
    own: float
    rounding: float = 0.0

    @property
    def permitted(self) -> float:
        return max(SHARE * self.spread + self.rounding, LAST_BITS * self.own)

    @property
    def in_spreads(self) -> float:
        """The largest difference as a share of the spread; infinite where normals have none."""
        if self.spread == 0:
            return 0.0 if self.difference == 0 else float("inf")
        return self.difference / self.spread

    @property
    def agrees(self) -> bool:
        return bool(self.difference <= self.permitted)

    def __str__(self) -> str:
        told = (
            f"on {self.images} images the graph's scores differ from torch's by at most "
            f"{significant(self.in_spreads)} of the spread of normals"
        )
        if self.in_spreads <= SHARE or self.spread == 0:
            return told
        return (
            f"{told}, more than {significant(SHARE)}; torch's own move by "
            f"{significant(self.own / self.spread)} where every pixel moves by its last bit"
        )


def agreement(
    torch_says: Hear,
    graph_says: Hear,
    calibration: Calibration,
    pixels: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    digests: Sequence[str],
) -> Agreement:
    """How far they agree on prepared images `[n, C, *size]`, in mixed scores, before they become p-values.

    Both must score in float32. Raises DataError where either score is not finite.
    """

    def scores(hear: Hear, seen: NDArray[np.float32]) -> Floats:
        raw = with_complexity(hear(seen, valid, digests), pixels, calibration.settings)
        if not raw.finite.all():
            raise DataError("the graph was not compared with torch: a score of theirs is not finite")
        return calibration.combine(raw.without_maps())

    by_torch = scores(torch_says, pixels)
    own = [float(np.abs(scores(torch_says, moved) - by_torch).max()) for moved in last_bits_moved(pixels)]
    of_normals = calibration.images.scores
    width = spread(of_normals)
    return Agreement(
        images=len(pixels),
        difference=float(np.abs(scores(graph_says, pixels) - by_torch).max()),
        spread=width,
        own=max(own),
        rounding=max(0.0, calibration.images.tolerance - TOLERANCE * width),
    )


def last_bits_moved(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The same images, each pixel larger or smaller by its last bit."""
    rng = np.random.default_rng(0)
    ways = (rng.choice((-LAST_BIT, LAST_BIT), pixels.shape) for _ in range(MOVES))
    return [(pixels * (1 + way)).astype(np.float32) for way in ways]


def refuse_disagreement(found: Agreement, name: str) -> None:
    """DataError where a graph gives other scores than torch."""
    if not found.agrees:
        raise DataError(f"detector {name!r}: nothing was exported, for {found}; score it with torch")
