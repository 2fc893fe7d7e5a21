"""What may watch a training. Nothing that it does reaches the fit: it draws no random number and changes no
module, and the numbers are the same with and without it."""

from __future__ import annotations

from collections.abc import Mapping

from secondread.training.log import EpochLog, TrainingLog


class Observer:
    """Is told by process 0 what happens. Every method may be left as it is."""

    def begun(self, log: TrainingLog) -> None:
        """Training begins; `log` holds what earlier sessions of a resumed fit did."""

    def stepped(self, stage: str, step: int, losses: Mapping[str, float], lr: float) -> None:
        """A round of the stage was taken, the `step`th from 1; losses of the steps whose numbers were
        finite."""

    def epoch_ended(self, stage: str, epoch: EpochLog, epochs: int, log: TrainingLog) -> None:
        """An epoch ended, of so many at most; it stands in the log."""

    def ended(self, log: TrainingLog) -> None:
        """All stages are done."""
