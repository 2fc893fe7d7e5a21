"""One mask as a set of prepared images holds it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Targets = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""bool `[n, 1, *spatial]`, True where the mask marks something; and bool `[n]`, which images have one."""


@dataclass(frozen=True)
class Target:
    """A mask on the prepared grid: its bits, compressed, and the digest of the file that it was read from."""

    compressed: bytes
    digest: str

    @classmethod
    def of(cls, bits: NDArray[np.uint8], digest: str) -> Target:
        """`bits` as `numpy.packbits` gives them."""
        return cls(zlib.compress(bits.tobytes(), 1), digest)

    def unpack(self, size: Sequence[int]) -> NDArray[np.bool_]:
        """bool `[*size]`. Raises ValueError where the bits are not those of such a mask."""
        count = prod(size)
        try:
            data = zlib.decompressobj().decompress(self.compressed, -(-count // 8) + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if len(data) != -(-count // 8):
            raise ValueError(f"{len(data)} bytes for a mask of {count} bits")
        return np.unpackbits(np.frombuffer(data, np.uint8), count=count).view(bool).reshape(tuple(size))


def stacked_targets(masks: Sequence[NDArray[np.bool_] | None], size: Sequence[int]) -> Targets | None:
    """Masks `[*size]`, or None for an image without one, as one array and which images have one."""
    has = np.array([mask is not None for mask in masks], bool)
    if not has.any():
        return None
    marked = np.zeros((len(masks), 1, *size), bool)
    for place, mask in enumerate(masks):
        if mask is not None:
            marked[place, 0] = mask
    return marked, has
