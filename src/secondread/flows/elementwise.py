"""What a coupling does to each number of its second half: increasing functions with given coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.flows.spline import inverse_spline, spline


class Elementwise:
    """u = phi(x; h) of each number x, increasing in x, with coefficients h that a network gives.

    `coefficients` counts the numbers of h for each x; x is `[*, C]` and h `[*, coefficients * C]`.
    """

    coefficients: int

    def __call__(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """u and log du/dx, both `[*, C]`."""
        raise NotImplementedError

    def inverse(self, u: Tensor, h: Tensor) -> Tensor:
        """The x of u."""
        raise NotImplementedError


class Affine(Elementwise):
    """u = x exp(clamp tanh(0.1 a)) + 0.1 b, with h = (a, b).

    `clamp` bounds each log-scale; the factor 0.1 keeps the start near the identity. The same function as
    FrEIA's AllInOneBlock has with its defaults (affine coupling: Dinh et al., Real NVP, ICLR 2017).
    """

    coefficients = 2

    def __init__(self, clamp: float = 2.0) -> None:
        self.clamp = clamp

    def __call__(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._of(h)
        return torch.addcmul(shift, x, log_scale.exp()), log_scale

    def inverse(self, u: Tensor, h: Tensor) -> Tensor:
        log_scale, shift = self._of(h)
        return (u - shift) * (-log_scale).exp()

    def _of(self, h: Tensor) -> tuple[Tensor, Tensor]:
        a, shift = (0.1 * h).chunk(2, dim=-1)
        return self.clamp * torch.tanh(a), shift


class Additive(Elementwise):
    """u = x + 0.1 h, so that the coupling's determinant is 1 (Dinh et al., NICE, 2015).

    A flow of these, of fixed or linear mixings and of global scales has a Jacobian determinant that is the
    same for all x: it is uniformly scaling. Then -log p(x) = ||f(x)||^2 / 2 + const, the distance of Deep
    SVDD from the centre 0, and the constant forbids that everything collapses there (arXiv 2510.09452).
    """

    coefficients = 1

    def __call__(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return x + 0.1 * h, torch.zeros_like(x)

    def inverse(self, u: Tensor, h: Tensor) -> Tensor:
        return u - 0.1 * h


class Spline(Elementwise):
    """u = a monotone rational-quadratic spline of x within [-bound, bound], x outside (`flows.spline`).

    A spline outside whose interval all x lie does nothing, so what comes to it should be of the order of one.
    """

    def __init__(self, bins: int = 8, bound: float = 5.0) -> None:
        self.bins, self.bound = bins, bound
        self.coefficients = 3 * bins - 1

    def __call__(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return spline(x, self._of(h), self.bound)

    def inverse(self, u: Tensor, h: Tensor) -> Tensor:
        return inverse_spline(u, self._of(h), self.bound)

    def _of(self, h: Tensor) -> Tensor:
        return h.unflatten(-1, (-1, self.coefficients))
