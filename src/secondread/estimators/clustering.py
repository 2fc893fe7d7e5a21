"""Centres of clusters."""

from __future__ import annotations

import torch
from torch import Tensor

STARTS = 10
"""By k-means++; the one whose sum of squares is least is kept."""


def cluster_centres(rows: Tensor, k: int, seed: int) -> Tensor:
    """`[k, D]`: the sum over rows `[n, D]` (float64, n >= k) of the squared distance to the nearest of them
    is the least that Lloyd's algorithm (scikit-learn) finds from its starts."""
    from sklearn.cluster import KMeans

    found = KMeans(k, n_init=STARTS, random_state=seed).fit(rows.numpy())
    return torch.from_numpy(found.cluster_centers_)
