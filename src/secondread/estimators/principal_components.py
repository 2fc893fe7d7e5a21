"""Directions of largest variance."""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.errors import UserError

LEAST_VARIANCE = 1e-12
"""As a share of the largest: directions of less are rounding, and arbitrary."""


def principal_components(centred: Tensor, share: float | None, detector: str) -> Tensor:
    """The fewest orthonormal directions that hold `share` of the variance of `[n, D]` float64 rows of mean 0,
    `[K, D]`; None = all in which they vary. `UserError`, which names the detector, where they do not."""
    from sklearn.decomposition import PCA

    if len(centred) < 2 or not centred.any():
        raise UserError(
            f"{detector} needs normal images that differ, and found {len(centred)} of one kind; add normals"
        )
    found = PCA(n_components=share).fit(centred.numpy())
    variances = found.explained_variance_
    return torch.from_numpy(found.components_[variances > LEAST_VARIANCE * variances[0]])
