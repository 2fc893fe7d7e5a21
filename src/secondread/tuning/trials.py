"""The trials of a search as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondread import tables


@dataclass(frozen=True)
class Tried:
    """One trial. value: higher = better, None where it failed, and `why`."""

    number: int
    values: Mapping[str, Any]
    value: float | None
    seconds: float
    why: str = ""


def trials_csv(trials: Sequence[Tried]) -> str:
    """One line per trial: its settings, its value, its seconds, why it failed."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    lines = [tables.line(["trial", *keys, "value", "seconds", "why"])]
    for trial in trials:
        value = "" if trial.value is None else repr(trial.value)
        cells = [str(trial.values.get(key, "")) for key in keys]
        lines.append(tables.line([str(trial.number + 1), *cells, value, str(trial.seconds), trial.why]))
    return "".join(lines)
