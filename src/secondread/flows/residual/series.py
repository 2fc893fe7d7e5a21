"""Where the series of a log-determinant ends: after fixed terms, or at random so that it has no bias."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

MOST = 64
"""Random terms at most; that more are drawn has a chance below 1e-10."""


@dataclass(frozen=True)
class Truncation:
    """log det(I + J) = sum over k of (-1)^(k+1) / k tr(J^k), with a coefficient for each term.

        none       `exact` terms: the rest is a bias of at most D c^(n+1) / ((n+1) (1-c)), n terms, |J| <= c
        geometric  `exact` terms and N more, N >= 1 with P(N >= j) = (1 - rate)^(j-1)
        poisson    `exact` terms and N more, N >= 0 of mean `rate`

    Term `exact` + j is there where N >= j, divided by P(N >= j): the mean over N is the whole series (the
    Russian roulette estimator).

    Sources: J. Behrmann et al., Invertible residual networks, ICML 2019; R. Chen et al., Residual flows for
    invertible generative modeling, NeurIPS 2019.
    """

    exact: int = 2
    extra: Literal["none", "geometric", "poisson"] = "geometric"
    rate: float = 0.5

    def coefficients(self, u: Tensor) -> Tensor:
        """Of the terms 1, 2, … of each image, `[N, terms]` float64, for uniform numbers u `[N]`."""
        ones = torch.ones((len(u), self.exact), dtype=torch.float64, device=u.device)
        if self.extra == "none":
            return ones
        drawn = self._drawn(u.double())
        count = int(drawn.max()) if len(drawn) else 0
        numbers = torch.arange(1, count + 1, device=u.device)
        chance = torch.tensor([self._reaches(j) for j in range(1, count + 1)]).to(ones)
        return torch.cat((ones, (drawn[:, None] >= numbers).double() / chance), dim=1)

    def _drawn(self, u: Tensor) -> Tensor:
        """N by the inverse of its distribution function."""
        if self.extra == "geometric":
            return (1 + (torch.log1p(-u) / math.log1p(-self.rate)).floor()).clamp(1, MOST).long()
        found = torch.zeros_like(u, dtype=torch.long)
        for j in range(1, MOST + 1):
            found += u >= 1.0 - self._reaches(j)
        return found

    def _reaches(self, j: int) -> float:
        """P(N >= j)."""
        if self.extra == "geometric":
            return (1.0 - self.rate) ** (j - 1)
        below = sum(self.rate**i / math.factorial(i) for i in range(j))
        return max(1.0 - math.exp(-self.rate) * below, 1e-300)
