"""What a picture shows, told by its decoded pixels: equal for a picture that was saved again without loss."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_LEVELS = 4096
"""A power of two: no picture of up to 12 bits has a value midway between two levels, where rounding of
floating-point copies could go either way."""
_MOST_TABLE = 1 << 16


def content_digest(pixels: NDArray[np.generic]) -> str:
    """Hex BLAKE2b-160 of a picture `[channels, *spatial]`, whatever file, depth or unit holds it.

    Values are taken from the lowest to the highest in 4,096 even steps, so the same picture with 8 or 16
    bits, as integers or as fractions, or after a linear rescale, has one digest; grey in three equal channels
    counts as grey. Of a picture of one value that value counts. Lossy compression, another size and a turn
    change the digest.
    """
    pixels = pixels[:1] if is_grey(pixels) else pixels
    low, high = float(pixels.min()), float(pixels.max())
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=20)
    if low == high:
        digest.update(f"constant {low!r}".encode())
    else:
        digest.update(np.ascontiguousarray(_levels(pixels, low, high)).data)
    return digest.hexdigest()


def _levels(pixels: NDArray[np.generic], first: float, last: float) -> NDArray[np.uint16]:
    """Steps between the lowest and the highest value; integers go through a table of all their values."""

    def steps(values: NDArray[np.generic]) -> NDArray[np.uint16]:
        scaled = (values.astype(np.float64) - first) * _LEVELS / (last - first)
        return np.asarray(np.floor(scaled + 0.5), dtype="<u2")

    if pixels.dtype.kind in "ui" and last - first < _MOST_TABLE:
        table = steps(np.arange(int(first), int(last) + 1))
        return table[pixels.astype(np.int64) - int(first)]
    return steps(pixels)


def is_grey(pixels: NDArray[np.generic]) -> bool:
    """Whether `[channels, *spatial]` has one channel, or three equal ones."""
    return len(pixels) == 1 or (
        len(pixels) == 3 and np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2])
    )
