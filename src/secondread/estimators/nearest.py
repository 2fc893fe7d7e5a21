"""The nearest of many vectors, by matrix products and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from secondread.networks.precision import full_precision

SPARE = 3
"""Candidates beyond those asked for: a matrix product may swap neighbours that are almost equally near."""
FEW = 8
"""So few rows are compared with the whole bank by differences: a product would have to centre the bank first,
which costs more."""
NUMBERS = 2**24
"""Of one intermediate result, at most: 64 MiB."""


def nearest(rows: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Euclidean distances to the k nearest of the bank, in rising order, and which they are: two `[n, k]`.

    rows `[n, D]`, bank `[m, D]`, with k <= m.

    Candidates are found by |x - b|² = |x|² - 2 x·b + |b|², with the bank's mean subtracted on both sides,
    and their distances computed again as differences. So a distance depends on no other row but for
    rounding, and that of a row in the bank to itself is 0. Few rows find theirs by differences at once.
    """
    with full_precision(rows):
        candidates = min(k + SPARE, len(bank))
        step = max(1, NUMBERS // max(len(bank), candidates * bank.shape[1]))
        nearness = _by_differences(bank) if len(rows) <= FEW else _by_products(bank)
        distances, indices = [], []
        for part in rows.split(step):
            found = nearness(part).topk(candidates, dim=1).indices
            exact = (part[:, None] - bank[found]).square().sum(dim=2).sqrt()
            kept = exact.topk(k, dim=1, largest=False)
            distances.append(kept.values)
            indices.append(found.gather(1, kept.indices))
        return torch.cat(distances), torch.cat(indices)


def _by_differences(bank: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda rows: -torch.cdist(rows, bank, compute_mode="donot_use_mm_for_euclid_dist")


def _by_products(bank: Tensor) -> Callable[[Tensor], Tensor]:
    mean = bank.mean(dim=0)
    centred = bank - mean
    half_squares = centred.square().sum(dim=1) / 2
    return lambda rows: torch.addmm(-half_squares, rows - mean, centred.T)
