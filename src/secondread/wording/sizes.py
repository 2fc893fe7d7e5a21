"""Bytes as people say them."""

from __future__ import annotations


def in_words(size: int) -> str:
    """`12 bytes`, `1.3 GB`; three significant digits.

    >>> in_words(1_300_000_000)
    '1.3 GB'
    """
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
