"""A kernel density estimate of directions, as a distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from secondread.networks.precision import full_precision

NUMBERS = 1 << 24
"""Of one intermediate result, at most."""


def kernel_width(bank: Tensor, times: float) -> float:
    """gamma of `[n, D]`: `times` / (D v), v the variance of all its numbers together. 1 where v is 0."""
    variance = float(bank.double().var(correction=0))
    return times / (bank.shape[1] * variance) if variance > 0 else 1.0


def kernel_distance(rows: Tensor, bank: Tensor, gamma: float | Tensor) -> Tensor:
    """- log (mean over b of exp(-gamma |x - b|²)) / gamma, `[N]` float32, of rows `[N, D]` and a bank
    `[n, D]`: the squared distance of x where the bank is one row, and near that to the nearest where gamma is
    large. A row's distance does not depend on the others."""
    with full_precision(rows):
        bank = bank.float()
        parts = [
            torch.cdist(part, bank, compute_mode="donot_use_mm_for_euclid_dist").square()
            for part in rows.float().split(max(1, NUMBERS // len(bank)))
        ]
        return (math.log(len(bank)) - torch.cat(parts).mul(-gamma).logsumexp(dim=1)) / gamma
