"""Losses of descriptors: triplets of patches, and correlations between dimensions (Bergmann et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.networks.precision import full_precision

LEAST_DEVIATION = 1e-4
"""Of a dimension over a batch: below it, a correlation is that of rounding."""


def triplet(anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """max(0, margin + d+ - d-), a mean over descriptors `[n, D]`, with d+ the squared distance of anchor and
    positive, and d- the smaller of the negative's from either."""
    near = (anchors - positives).square().sum(dim=1)
    far = torch.minimum(
        (anchors - negatives).square().sum(dim=1), (positives - negatives).square().sum(dim=1)
    )
    return (margin + near - far).clamp_min(0).mean()


def compactness(descriptors: Tensor) -> Tensor:
    """The sum over pairs i < j of the squared correlation of dimensions i and j over descriptors `[n, D]`.

    n independent descriptors have D (D - 1) / 2n of it by chance; the sum of the correlations themselves has
    more by far than the other losses, and keeps a teacher from learning anything.
    """
    with full_precision(descriptors):
        centred = descriptors.float() - descriptors.float().mean(dim=0)
        deviation = (centred.square().mean(dim=0) + LEAST_DEVIATION**2).sqrt()
        unit = centred / deviation
        squares = ((unit.T @ unit) / len(unit)).square()
        return (squares.sum() - squares.diagonal().sum()) / 2
