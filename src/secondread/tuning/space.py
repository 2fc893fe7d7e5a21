"""What is varied: settings of a recipe, each between two numbers or among a few values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from secondread.errors import UserError
from secondread.recipes.recipe import with_assignments

if TYPE_CHECKING:
    from optuna import Trial

DECADES = 100
"""A range whose ends are at least so far apart is drawn in logarithms."""
FIXED = ("cohorts", "calibration", "seed", "about")
"""Sections that decide which images a trial is measured on, or how, so that trials could not be compared."""


@dataclass(frozen=True)
class Varied:
    """One setting: its dotted name, and its values, or the ends of a range of numbers.

    >>> Varied.parse("stages.flow.optimiser.lr=1e-4..1e-2").logarithmic
    True
    >>> Varied.parse("detector.components=8,16,32").values
    (8, 16, 32)
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """`KEY=LOW..HIGH` or `KEY=A,B,C`. UserError for anything else, and for what may not be varied."""
        key, equals, said = text.partition("=")
        key = key.strip()
        if not equals or not key or not said.strip():
            raise UserError(
                f"--vary {text}: write KEY=LOW..HIGH or KEY=A,B,C, such as "
                "stages.flow.optimiser.lr=1e-4..1e-2"
            )
        if key.split(".")[0] in FIXED:
            raise UserError(
                f"--vary {text}: {key.split('.')[0]} decides what a trial is measured on, so trials could "
                "not be compared; set it with --set for all"
            )
        low, dots, high = said.partition("..")
        if dots:
            ends = (_value(key, low), _value(key, high))
            numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
            if not numbers or not ends[0] < ends[1]:
                raise UserError(f"--vary {text}: {low}..{high} is no range of numbers, the lower end first")
            return cls(key, low=ends[0], high=ends[1])
        values = tuple(_value(key, value) for value in _split(said))
        if len(values) < 2 or any(value in values[:place] for place, value in enumerate(values)):
            raise UserError(f"--vary {text}: give two different values or more, with commas between")
        return cls(key, values)

    @property
    def logarithmic(self) -> bool:
        return not self.values and self.low > 0 and self.high / self.low >= DECADES

    def drawn(self, trial: Trial) -> Any:
        """A value for this trial."""
        if self.values:
            return self.values[trial.suggest_categorical(self.key, list(range(len(self.values))))]
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, log=self.logarithmic)
        return trial.suggest_float(self.key, self.low, self.high, log=self.logarithmic)

    def samples(self) -> tuple[Any, ...]:
        """Its values; of a range both ends and one between, such as may be drawn."""
        if self.values:
            return self.values
        between = self.low + 0.381966 * (self.high - self.low)
        return self.low, int(between) if isinstance(self.low + self.high, int) else between, self.high

    def said(self) -> str:
        """As `parse` takes it."""
        if self.values:
            return f"{self.key}={','.join(_written(value) for value in self.values)}"
        return f"{self.key}={self.low}..{self.high}"


def setting(key: str, value: Any) -> str:
    """`KEY=VALUE` as a recipe's `set` takes it."""
    return f"{key}={_written(value)}"


def parsed(texts: Sequence[str]) -> list[Varied]:
    """Each text parsed; UserError where none is given or a setting stands twice."""
    if not texts:
        raise UserError("name at least one setting with --vary, such as stages.flow.optimiser.lr=1e-4..1e-2")
    found = [Varied.parse(text) for text in texts]
    for place, one in enumerate(found):
        if one.key in {other.key for other in found[:place]}:
            raise UserError(f"--vary {one.key}: stands twice; give all its values at once")
    return found


def _value(key: str, text: str) -> Any:
    """As `--set KEY=TEXT` reads it."""
    (value,) = with_assignments({}, [f"x={text.strip()}"]).values()
    return value


def _split(text: str) -> list[str]:
    """At commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for place, char in enumerate(text):
        depth += (char in "[{") - (char in "]}")
        if char == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
