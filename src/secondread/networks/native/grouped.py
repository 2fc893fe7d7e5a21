"""Weights in the order of groups.h."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional


def whole(x: Tensor, lanes: int) -> Tensor:
    """With zeros behind, so that the last axis is a number of vectors."""
    return functional.pad(x, (0, -x.shape[-1] % lanes)).contiguous()


def grouped(weight: Tensor, lanes: int, widest: int) -> Tensor:
    """`[steps, channels]` as `[groups][steps][channels of the group]`."""
    weight = whole(weight, lanes)
    vectors = weight.shape[1] // lanes
    groups = -(-vectors // widest)
    ends = [vectors * number // groups * lanes for number in range(groups + 1)]
    return torch.cat([weight[:, begin:end].flatten() for begin, end in pairwise(ends)])
