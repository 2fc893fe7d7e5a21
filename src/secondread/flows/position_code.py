"""A fixed code of each position of a map, which a flow may take as its condition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LONGEST = 1e4
"""The wavelengths go from 2 pi to 2 pi times this."""


def position_code(dimensions: int, size: Sequence[int]) -> Tensor:
    """Sines and cosines of each position, `[dimensions, *size]`, an equal share for each axis.

        code[2 i] = sin(p w_i),  code[2 i + 1] = cos(p w_i),  w_i = 1e4^(-2 i / K)

    for the position p along an axis, counted from 0, and its K = dimensions / len(size) numbers. The last
    axis stands first, as in CFLOW-AD. ValueError unless `dimensions` is a multiple of 2 len(size).
    """
    rank = len(size)
    if dimensions < 1 or dimensions % (2 * rank):
        raise ValueError(
            f"a position code of {rank} axes has a multiple of {2 * rank} numbers, not {dimensions}"
        )
    share = dimensions // rank
    waves = torch.exp(torch.arange(0, share, 2, dtype=torch.float32) * (-math.log(LONGEST) / share))
    codes = []
    for axis in reversed(range(rank)):
        angles = torch.arange(size[axis], dtype=torch.float32) * waves[:, None]
        pairs = torch.stack((angles.sin(), angles.cos()), dim=1).flatten(0, 1)
        along = [size[axis] if other == axis else 1 for other in range(rank)]
        codes.append(pairs.view(share, *along).expand(share, *size))
    return torch.cat(codes)
