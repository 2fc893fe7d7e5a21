"""Statistics of scores on held-out normals, or on training normals where none is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from secondread.detectors.contract import Batch, Batches

ENOUGH = 64
"""Training normals that are looked at."""


class HeldOutStatistics:
    """`collect`, `finish` and `examine` of a stage, at whose end a detector learns how its maps are spread.

    of    what is kept of a batch of normals
    take  sets the detector's buffers from what was kept of all batches; figures for the log, by name

    Of training normals the first `ENOUGH` are looked at; what they say is replaced where there are held-out
    normals.
    """

    def __init__(
        self, of: Callable[[Batch], Tensor], take: Callable[[list[Tensor]], Mapping[str, float]]
    ) -> None:
        self.of, self.take = of, take
        self.kept: list[Tensor] = []
        self.seen = 0

    def collect(self, batches: Batches) -> None:
        if self.seen < ENOUGH and "normal" in batches:
            self.kept.append(self.of(batches["normal"]))
            self.seen += len(batches["normal"])

    def finish(self) -> None:
        kept, self.kept, self.seen = self.kept, [], 0
        self.take(kept)

    def examine(self, batches: Iterator[Batch], generator: object) -> dict[str, float]:
        found = self.take([self.of(batch) for batch in batches])
        return {f"{name} on held-out normals": value for name, value in found.items()}
