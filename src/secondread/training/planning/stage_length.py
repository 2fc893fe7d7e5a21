"""How long a stage is, in rounds, epochs and batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings


@dataclass(frozen=True)
class Length:
    """How long a stage is: its rounds in all and per epoch, and the batches that a round takes."""

    rounds: int
    rounds_per_epoch: int
    batches_per_round: int

    @classmethod
    def of(cls, stage: Stage, settings: StageSettings, batches_per_epoch: int) -> Length:
        """`epochs` and `steps` are bounds; the smaller one ends the stage."""
        batches_per_round = max(step.repeats for step in stage.steps)
        per_epoch = math.ceil(batches_per_epoch / batches_per_round)
        rounds = min(
            math.inf if settings.epochs is None else settings.epochs * per_epoch,
            math.inf if settings.steps is None else settings.steps,
        )
        return cls(int(rounds), per_epoch, batches_per_round)

    @property
    def epochs(self) -> int:
        return math.ceil(self.rounds / self.rounds_per_epoch)

    def rounds_of(self, epoch: int) -> int:
        return min(self.rounds_per_epoch, self.rounds - epoch * self.rounds_per_epoch)
