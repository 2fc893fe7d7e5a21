"""Figures as people read them: one way of writing a number, a share, an interval, in tables and reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

NOTHING = "–"


def number(value: float | None, digits: int = 3) -> str:
    """`0.861`, or a dash."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def significant(value: float | None) -> str:
    """Four significant digits, or a dash."""
    return NOTHING if value is None else f"{value:.4g}"


def percent(value: float | None, digits: int = 1) -> str:
    """`5.0 %`, or a dash; a thin space before the sign."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}\u202f%"


def rate(value: float | None) -> str:
    """A rate in a sentence, with two digits or three where needed, and as many as tell it from all: `5 %`,
    `0.077 %`, `10.6 %`, `99.99 %`."""
    if value is None or math.isnan(value):
        return NOTHING
    per_cent = 100 * value
    digits = 1
    if 0 < per_cent < 10:
        digits = min(9, 1 - math.floor(math.log10(per_cent)))
    elif 99 < per_cent < 100:
        digits = min(9, -math.floor(math.log10(100 - per_cent)))
    text = f"{per_cent:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def span(pair: Sequence[float] | None, digits: int = 3) -> str:
    """`0.830–0.889`, or nothing."""
    return "" if not pair or any(map(math.isnan, pair)) else f"{pair[0]:.{digits}f}–{pair[1]:.{digits}f}"


def percent_span(pair: Sequence[float] | None, digits: int = 1) -> str:
    """`2.8–7.8 %`, or nothing."""
    return "" if not pair else f"{100 * pair[0]:.{digits}f}–{100 * pair[1]:.{digits}f}\u202f%"


def signed(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A difference with its sign: `+0.041`, or `+0.041 (+0.012 to +0.070)`."""
    if value is None or math.isnan(value):
        return NOTHING
    tail = f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
    return f"{value:+.3f}{tail}".replace("-", "−")


def p_value(value: float | None) -> str:
    """`0.012`, `< 0.001`, or a dash."""
    if value is None or math.isnan(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: int, one: str, many: str = "") -> str:
    """`1 image`, `2,117 images`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def plain(value: Any) -> str:
    """A value of a recipe or a record in a few words."""
    if value is None or value in ("", [], {}, ()):
        return NOTHING
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
