"""Bytes and shapes as people say them."""

from __future__ import annotations

from collections.abc import Iterable


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


def times(shape: Iterable[int]) -> str:
    """Lengths along axes.

    >>> times((3, 256, 256))
    '3×256×256'
    """
    return "×".join(map(str, shape))
