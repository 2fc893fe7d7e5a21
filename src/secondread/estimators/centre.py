"""The centre of a one-class method: a mean that no network without biases can meet by giving zeros."""

from __future__ import annotations

import torch
from torch import Tensor

NEAR_ZERO = 0.1


def centre_of(rows: Tensor) -> Tensor:
    """The mean of `[n, D]` with every number that is nearer to 0 than 0.1 moved there, by its sign: `[D]`.

    A number of the centre that is 0 is met by weights of 0 alone, whatever the image; one that is exactly 0
    belongs to a unit that gives nothing, and stays.

    Source: L. Ruff et al., Deep one-class classification, ICML 2018, as the authors' code has it.
    """
    centre = rows.mean(dim=0)
    near = (centre.abs() < NEAR_ZERO) & (centre != 0)
    return torch.where(near, NEAR_ZERO * centre.sign(), centre)
