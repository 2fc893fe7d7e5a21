"""From an image's grid to a coarse one and back, by halves."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def coarse_grid(what: str, size: Sequence[int], rank: int, halvings: int) -> tuple[int, ...]:
    """`size` / 2^halvings. ValueError for a size that is no multiple of it."""
    step = 2**halvings
    if len(size) != rank or any(length % step or not length for length in size):
        raise ValueError(
            f"{what} halves the grid {halvings} times, so it takes sizes that are multiples of {step} along "
            f"{rank} axes, not {tuple(size)}"
        )
    return tuple(length // step for length in size)


def enlarged(x: Tensor) -> Tensor:
    """`[N, C, *S]` on a grid twice as fine, each value copied to the 2x2 (2x2x2) cells in its place."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
