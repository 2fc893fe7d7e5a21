"""A time as people say it."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """`12 s`, `3 min 05 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
