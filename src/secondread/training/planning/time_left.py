"""How long a whole fit will still take, from what its stages have taken so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from secondread.training.planning.planned_stages import PlannedStage


class TimeLeft:
    """The stage under way goes on at its own pace; those to come at the mean pace of all so far, by their
    images.

    >>> now = iter([0.0, 10.0, 10.0])
    >>> left = TimeLeft([PlannedStage("a", 1, 10, 4, 40), PlannedStage("b", 2, 20, 4, 40)], lambda: next(now))
    >>> left.begin(0, 0.0)
    >>> left.seconds(0.5)
    50.0
    """

    def __init__(self, planned: Sequence[PlannedStage], clock: Callable[[], float] = time.monotonic) -> None:
        self.planned, self.clock = planned, clock
        self.number, self.first_share, self.begun = 0, 0.0, 0.0
        self.spent = 0.0
        self.done = 0.0

    def begin(self, number: int, share: float) -> None:
        """A stage begins, or goes on with a share of it done in an earlier session."""
        self.number, self.first_share, self.begun = number, share, self.clock()

    def end(self, share: float = 1.0) -> None:
        """The stage under way is done, or left with a share of it done."""
        self.spent += self.clock() - self.begun
        self.done += (share - self.first_share) * self.planned[self.number].work

    def seconds(self, share: float) -> float | None:
        """With this share of the stage done; None before anything is."""
        done = share - self.first_share
        if done <= 0:
            return None
        taken = self.clock() - self.begun
        here = self.planned[self.number].work
        pace = (self.spent + taken) / max(self.done + done * here, 1e-9)
        later = sum(stage.work for stage in self.planned[self.number + 1 :])
        return taken * (1.0 - share) / done + pace * later
