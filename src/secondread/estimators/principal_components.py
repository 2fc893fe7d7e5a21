"""Directions of largest variance."""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.errors import UserError

LEAST_VARIANCE = 1e-12
"""As a share of the largest: directions of less are rounding, and arbitrary."""


def principal_components(centred: Tensor, share: float | None, detector: str) -> Tensor:
    """The fewest orthonormal directions that hold `share` of the variance of `[n, D]` float64 rows of mean 0,
    `[K, D]`; None = all in which they vary. `UserError`, which names the detector, where they do not.

    From the products of rows or of columns, of whichever there are fewer.
    """
    if len(centred) < 2 or not centred.any():
        raise UserError(
            f"{detector} needs normal images that differ, and found {len(centred)} of one kind; add normals"
        )
    few_rows = len(centred) < centred.shape[1]
    values, vectors = components_of(centred @ centred.T if few_rows else centred.T @ centred, share)
    directions = vectors @ centred / values.sqrt()[:, None] if few_rows else vectors
    # an eigenvector's sign is arbitrary, and libraries differ in it
    return directions * directions.gather(1, directions.abs().argmax(dim=1, keepdim=True)).sign()


def components_of(symmetric: Tensor, share: float | None) -> tuple[Tensor, Tensor]:
    """The fewest eigenvectors that hold `share` of the trace of a covariance `[D, D]` float64 or of any
    multiple of it, largest first; None = all along which it is not rounding. Eigenvalues `[K]`, and the
    vectors as rows `[K, D]`."""
    values, vectors = torch.linalg.eigh(symmetric)
    values, vectors = values.flip(0), vectors.flip(1).T
    varying = int((values > LEAST_VARIANCE * values[0]).sum())
    values, vectors = values[: max(varying, 1)].clamp_min(0), vectors[: max(varying, 1)]
    if share is None:
        return values, vectors
    held = values.cumsum(0) / values.sum().clamp_min(torch.finfo(torch.float64).tiny)
    kept = min(1 + int((held < share).sum()), len(values))
    return values[:kept], vectors[:kept]
