"""The random numbers that torch draws for an image at scoring, without torch.

torch's generator on a CPU is the Mersenne Twister, seeded with the lower 32 bits of the seed. A uniform
number is the lower 24 bits of one of its 32-bit numbers over 2²⁴. Normal numbers come from uniform ones by
Box and Muller, in blocks of sixteen: of the first eight and the last eight u and v of a block,

    r = sqrt(-2 log(1 - u)),   r cos(2 π v)  and  r sin(2 π v).

Fewer than sixteen it draws one by one, in double precision from 53 bits: v before u, and the sine's number is
kept for the next.

No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

BLOCK = 16
SHORTEST = 16
"""Fewer normal numbers than these torch draws one by one."""


@dataclass(frozen=True)
class Draw:
    """One draw for an image: of which kind, and `[*shape]`."""

    kind: Literal["normal", "uniform"]
    shape: tuple[int, ...]


def drawn(draws: Sequence[Draw], digest: str) -> Iterator[NDArray[np.float32]]:
    """What the draws give for the image of that digest (hexadecimal), each `[1, *shape]`.

    >>> from secondread.exporting.draws import Draw, drawn
    >>> [values.shape for values in drawn([Draw("uniform", (3, 4))], "00ff" * 16)]
    [(1, 3, 4)]
    """
    if not draws:
        return  # to seed a stream takes longer than a small graph
    stream = _Stream(int(digest[:16], 16))
    for draw in draws:
        count = math.prod(draw.shape)
        values = stream.normal(count) if draw.kind == "normal" else stream.uniform(count)
        yield values.reshape(1, *draw.shape)


class _Stream:
    """torch's generator with that seed."""

    def __init__(self, seed: int) -> None:
        self.twister = np.random.RandomState(seed & 0xFFFFFFFF)
        self.kept: float | None = None

    def uniform(self, count: int) -> NDArray[np.float32]:
        whole = self._bits(count) & np.uint32((1 << 24) - 1)
        return whole.astype(np.float32) * np.float32(2.0**-24)

    def normal(self, count: int) -> NDArray[np.float32]:
        if count < SHORTEST:
            return np.array([self._one_normal() for _ in range(count)], np.float32)
        values = self.uniform(count)
        whole = count // BLOCK * BLOCK
        values[:whole] = _box_muller(values[:whole])
        if whole < count:  # torch draws the last sixteen anew
            values[-BLOCK:] = _box_muller(self.uniform(BLOCK))
        return values

    def _one_normal(self) -> float:
        if self.kept is not None:
            found, self.kept = self.kept, None
            return found
        v, u = (self._one_uniform() for _ in range(2))
        radius, angle = math.sqrt(-2 * math.log1p(-u)), 2 * math.pi * v
        self.kept = radius * math.sin(angle)
        return radius * math.cos(angle)

    def _one_uniform(self) -> float:
        high, low = self._bits(2).tolist()
        return float(((high << 32 | low) & ((1 << 53) - 1)) * 2.0**-53)

    def _bits(self, count: int) -> NDArray[np.uint32]:
        return self.twister.randint(0, 1 << 32, count, dtype=np.uint32)


def _box_muller(uniform: NDArray[np.float32]) -> NDArray[np.float32]:
    u, v = np.moveaxis(uniform.reshape(-1, 2, BLOCK // 2), 1, 0)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - u))
    angle = np.float32(2 * math.pi) * v
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)
