"""A Gaussian of feature vectors at each position, fitted in one pass without keeping features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from secondread.estimators.compiled_distances.kernel import CODE, DistancesKernel
from secondread.networks.as_graph import written_as_graph
from secondread.networks.native.choice import Choice, is_plain
from secondread.networks.native.trial import gain
from secondread.networks.precision import full_precision

AT_A_TIME = 256
BANDS = 4
"""In which a graph has W: it then holds five eighths of it; twice as many would spare 6 % more."""


class PositionGaussians(nn.Module):
    """Mean m_p and covariance C_p of f `[P, N, d]` over images N, at each of P positions.

    `collect` adds up `[P, d]` and `[P, d, d]` in float64 about the first batch's mean; `finish` turns
    them into m and the inverse Cholesky factor W of C + `regularisation` I, both float32 buffers, and
    empties the sums, which have a size only while images are being collected.

    m and W lie in memory with the positions last, so that a row of all positions' W is one stretch: of each
    only what the triangle holds is read, once, and reading it is nearly all that a distance costs on a
    processor.
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
        self.register_buffer("mean", torch.zeros(dimensions, positions).T)
        planes = torch.eye(dimensions)[:, :, None].repeat(1, 1, positions)
        self.register_buffer("whitener", planes.permute(2, 0, 1))
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
                self.second = torch.zeros(self.whitener.shape, dtype=torch.float64, device=f.device)
            f = f - self.shift[:, None]
            self.first += f.sum(dim=1)
            for part in self._parts():
                self.second[part] += f[part].transpose(1, 2) @ f[part]
            self.count += f.shape[1]

    @torch.no_grad()
    def finish(self) -> None:
        """m and W from the sums. `ValueError` with fewer than two images."""
        n = int(self.count)
        if n < 2:
            raise ValueError("a Gaussian at each position needs at least two normal images")
        identity = torch.eye(self.mean.shape[1], device=self.mean.device, dtype=torch.float64)
        self.mean.copy_(self.shift + self.first / n)
        for part in self._parts():
            mean = self.first[part] / n
            covariance = (self.second[part] - n * mean[:, :, None] * mean[:, None, :]) / (n - 1)
            factor = torch.linalg.cholesky(covariance + self.regularisation * identity)
            inverse = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
            self.whitener[part] = inverse.float()
        self._clear()

    def _parts(self) -> Iterator[slice]:
        """Positions of which matrices are held at a time beside the sums."""
        for place in range(0, len(self.mean), AT_A_TIME):
            yield slice(place, place + AT_A_TIME)

    def forward(self, f: Tensor) -> Tensor:
        """|W (f - m)| of f `[N, d, P]` at each position, `[N, P]` float32: the Mahalanobis distance.

        Without gradient on a CPU it is compiled code, where a trial on this machine found that faster; it
        agrees with torch's to some 1e-6.
        """
        with full_precision(f):
            difference = f.float() - self.mean.T
            planes = self.whitener.permute(1, 2, 0)
            suits = is_plain(difference) and planes.is_contiguous() and not torch.is_grad_enabled()
            kernel = CHOICE.kernel() if suits else None
            if kernel is not None:
                return kernel(planes, difference.contiguous())
            if f.device.type == "cpu" and not written_as_graph():
                return torch.stack([_lengths(planes, of_one) for of_one in difference])
            return self._in_bands(difference.permute(2, 0, 1)).T

    def _in_bands(self, difference: Tensor) -> Tensor:
        """|W x| of x `[P, N, d]` by a product for each band of rows of W, without most of what lies above its
        diagonal: `[P, N]`."""
        total = difference.new_zeros(difference.shape[:2])
        for rows in torch.arange(difference.shape[2]).tensor_split(BANDS):
            if len(rows):
                end = int(rows[-1]) + 1
                band = self.whitener[:, int(rows[0]) : end, :end].transpose(1, 2)
                total = total + (difference[..., :end] @ band).square().sum(dim=-1)
        return total.sqrt()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """W of a file, which has its positions first, is turned as one matrix: that takes a fifth of the time
        of torch's way of copying between the two orders."""
        given, planes = state_dict.get(f"{prefix}whitener"), self.whitener.permute(1, 2, 0)
        if (
            isinstance(given, Tensor)
            and given.shape == self.whitener.shape
            and given.is_contiguous()
            and planes.is_contiguous()
        ):
            with torch.no_grad():
                planes.flatten(0, 1).copy_(given.flatten(1).T)
            state_dict[f"{prefix}whitener"] = self.whitener
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _lengths(planes: Tensor, x: Tensor) -> Tensor:
    """|W x| of x `[d, P]`, row by row of W `[d, d, P]`: `[P]`."""
    products, total = torch.empty_like(x), torch.zeros_like(x[0])
    for row in range(len(planes)):
        within = slice(row + 1)  # W is lower triangular
        whitened = torch.mul(planes[row, within], x[within], out=products[within]).sum(dim=0)
        total += whitened.square()
    return total.sqrt()


def _trial(kernel: DistancesKernel) -> float:
    """On 64 dimensions at 4,096 positions, 64 MB: more than caches hold, as a detector's are."""
    planes, x = torch.ones(64, 64, 4096), torch.ones(1, 64, 4096)
    return gain({False: lambda: _lengths(planes, x[0]), True: lambda: kernel(planes, x)})


CHOICE = Choice(CODE, _trial)
