"""The affine subspace in which most of the variance of vectors lies, and how far a vector is from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondread.estimators.principal_components import components_of, principal_components
from secondread.estimators.shrunk_gaussian import Moments, moments_and_shrinkage
from secondread.networks.precision import full_precision


class Subspace(nn.Module):
    """m + span(V) of vectors `[N, D]`: their mean `[D]` and the rows of V `[K, D]`, the fewest principal
    components that hold a share of the variance. Both are buffers; V has no row until it is fitted."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.basis: Tensor
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("basis", torch.empty(0, dimensions))

    def fit(self, rows: Tensor, share: float, detector: str) -> None:
        """From vectors `[n, D]`. `UserError`, which names the detector, where they do not differ."""
        rows = rows.double()
        mean = rows.mean(dim=0)
        self._keep(mean, principal_components(rows - mean, share, detector))

    def fit_moments(self, sums: Moments, share: float) -> None:
        """From the moments of vectors that nobody kept (`estimators.shrunk_gaussian`)."""
        shift, moments = sums
        mean, covariance, _ = moments_and_shrinkage(moments)
        self._keep(shift + mean, components_of(covariance, share)[1])

    def forward(self, x: Tensor) -> Tensor:
        """|(I - V^T V)(x - m)|, the distance from the subspace, `[N]` float32."""
        with full_precision(x):
            centred = x.float() - self.mean
            # the residual itself, and not |x - m|² - |V (x - m)|²: a small difference of large numbers
            return (centred - centred @ self.basis.T @ self.basis).norm(dim=1)

    def _keep(self, mean: Tensor, basis: Tensor) -> None:
        self.mean.copy_(mean)
        self.basis = basis.to(self.mean, copy=True).contiguous()
