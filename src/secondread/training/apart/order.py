"""Which stages of a detector build on which, and so which may be trained at the same time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from secondread.detectors.contract import Stage


@dataclass(frozen=True)
class Order:
    """A detector's stages, in order.

    before  by a stage's name: the stages that it follows, directly or through others
    """

    stages: Sequence[Stage]
    before: dict[str, frozenset[str]]

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> Self:
        """ValueError for a stage that follows one which is not before it."""
        before: dict[str, frozenset[str]] = {}
        for stage in stages:
            direct = list(before) if stage.follows is None else list(stage.follows)
            if missing := sorted(set(direct) - before.keys()):
                raise ValueError(f"stage {stage.name!r} follows {missing[0]!r}, which is not before it")
            before[stage.name] = frozenset(direct).union(*(before[name] for name in direct))
        return cls(stages, before)

    @cached_property
    def beside(self) -> dict[str, list[str]]:
        """By a stage's name: the others that may be trained at the same time."""
        return {
            name: [
                other
                for other in self.before
                if other != name and other not in self.before[name] and name not in self.before[other]
            ]
            for name in self.before
        }

    @property
    def apart(self) -> bool:
        """Whether any two stages may be trained at the same time."""
        return any(self.beside.values())

    def ready(self, done: Collection[str]) -> list[int]:
        """The numbers of the stages that are not done and whose earlier ones are."""
        return [
            number
            for number, stage in enumerate(self.stages)
            if stage.name not in done and self.before[stage.name] <= set(done)
        ]

    def threads(self, name: str, most: int) -> int:
        """Of one stage, where the fit has `most` for all that may run at the same time. The number of
        processes does not count, so that it changes no number."""
        return max(1, most // (1 + len(self.beside[name])))
