"""Which share of scores stands out above the rest, without a label."""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEPS = 500
FEWEST = 40
"""Scores: of fewer the shape says too little."""
APART = 1.0
"""Between two means, in units of the larger deviation, at least, where the upper one stands out."""


def upper_share(scores: Tensor) -> float:
    """The share of the upper of two Gaussians of which scores `[n]` (nan left out) are made up; 0 where one
    Gaussian describes them as well, or the two overlap too much to be told apart; nan for fewer than
    `FEWEST` scores.

    By expectation and maximisation, begun with the upper half, quarter and tenth apart from the rest;
    two are believed where Schwarz's criterion prefers them (3 more parameters). The mixture says what share
    stands out, and cannot know whether it is abnormal.
    """
    x = scores[~scores.isnan()].double().cpu()
    n = len(x)
    if n < FEWEST:
        return math.nan
    scale = x.std()
    if not scale > 0:
        return 0.0
    x = (x - x.mean()) / scale
    floor = 1e-2
    one = -0.5 * n * (math.log(2 * math.pi) + float(x.var(correction=0).log()) + 1)
    best = (one - math.log(n), 0.0)
    for start in (0.5, 0.75, 0.9):
        upper = (x > x.quantile(start)).double()
        parts = torch.stack((1 - upper, upper))
        for _ in range(STEPS):
            weight = parts.sum(dim=1).clamp_min(1e-9)
            mean = parts @ x / weight
            variance = ((parts * (x - mean[:, None]).square()).sum(dim=1) / weight).clamp_min(floor**2)
            logs = (weight / n).log()[:, None] - 0.5 * (
                (x - mean[:, None]).square() / variance[:, None] + (2 * math.pi * variance).log()[:, None]
            )
            parts = logs.softmax(dim=0)
        likelihood = float(logs.logsumexp(dim=0).sum()) - 2.5 * math.log(n)
        low, high = mean.argmin(), mean.argmax()
        apart = float((mean[high] - mean[low]) / variance.max().sqrt())
        if likelihood > best[0] and apart > APART:
            best = (likelihood, float(weight[high] / n))
    return best[1]
