"""What a calibration promises, as lines for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondread.terminal.say import say


def promise_lines(calibration: Mapping[str, Any]) -> list[str]:
    """The words of `describe(Calibration)`; where nothing can be flagged, that line is a warning."""
    levels = [level for level in (calibration["images"], calibration["studies"]) if level is not None]
    hollow = {level["words"] for level in levels if not level["enough"]}
    return [f"warning: {line}" if line in hollow else line for line in calibration["words"]]


def say_promise(calibration: Mapping[str, Any]) -> None:
    """The promise on stderr."""
    for line in promise_lines(calibration):
        say(line)
