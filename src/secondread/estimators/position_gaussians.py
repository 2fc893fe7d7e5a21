"""A Gaussian of feature vectors at each position, fitted in one pass without keeping features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondread.networks.precision import full_precision


class PositionGaussians(nn.Module):
    """Mean m_p and covariance C_p of f `[P, N, d]` over images N, at each of P positions.

    `collect` adds up `[P, d]` and `[P, d, d]` in float64 about the first batch's mean; `finish` turns
    them into m and the inverse Cholesky factor W of C + `regularisation` I, both float32 buffers, and
    empties the sums, which have a size only while images are being collected.
    """

    def __init__(self, positions: int, dimensions: int, regularisation: float) -> None:
        super().__init__()
        self.regularisation = regularisation
        self.mean: Tensor
        self.whitener: Tensor
        self.count: Tensor
        self.shift: Tensor
        self.first: Tensor
        self.second: Tensor
        self.register_buffer("mean", torch.zeros(positions, dimensions))
        self.register_buffer("whitener", torch.eye(dimensions).repeat(positions, 1, 1))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self._clear()

    def _clear(self) -> None:
        device = self.mean.device
        self.register_buffer("shift", torch.empty(0, device=device))
        self.register_buffer("first", torch.empty(0, dtype=torch.float64, device=device))
        self.register_buffer("second", torch.empty(0, dtype=torch.float64, device=device))
        self.count.zero_()

    @torch.no_grad()
    def collect(self, f: Tensor) -> None:
        """Add images."""
        with full_precision(f):
            f = f.float()
            if not len(self.shift):
                self.shift = f.mean(dim=1)
                self.first = torch.zeros_like(self.shift, dtype=torch.float64)
                self.second = torch.zeros_like(self.whitener, dtype=torch.float64)
            f = f - self.shift[:, None]
            self.first += f.sum(dim=1)
            self.second += f.transpose(1, 2) @ f
            self.count += f.shape[1]

    @torch.no_grad()
    def finish(self) -> None:
        """m and W from the sums. `ValueError` with fewer than two images."""
        n = int(self.count)
        if n < 2:
            raise ValueError("a Gaussian at each position needs at least two normal images")
        identity = torch.eye(self.mean.shape[1], device=self.mean.device, dtype=torch.float64)
        self.mean.copy_(self.shift + self.first / n)
        for place in range(0, len(self.mean), 256):  # bounds the memory of the factors
            part = slice(place, place + 256)
            mean = self.first[part] / n
            covariance = (self.second[part] - n * mean[:, :, None] * mean[:, None, :]) / (n - 1)
            factor = torch.linalg.cholesky(covariance + self.regularisation * identity)
            inverse = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
            self.whitener[part] = inverse.float()
        self._clear()

    def forward(self, f: Tensor) -> Tensor:
        """W (f - m), `[P, N, d]` float32: of zero mean and unit covariance over normals."""
        with full_precision(f):
            return (f.float() - self.mean[:, None]) @ self.whitener.transpose(1, 2)
