"""A memory of learned slots that is read by resemblance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Memory(nn.Module):
    """z `[N, C]` to a weighted mean of the slots m_i, `[N, C]`, and the weights w, `[N, slots]`.

        w = softmax_i(z · m_i);  with shrink: w_i <- w_i where w_i > shrink, else 0;  w <- w / |w|_1
        read = sum_i w_i m_i

    Slots start uniform in ±1/sqrt(C). Weights are float32 under autocast.

    Source: D. Gong et al., Memorizing normality to detect anomaly: memory-augmented deep autoencoder for
    unsupervised anomaly detection, ICCV 2019 (cosine similarity there, the inner product in its code and
    here).
    """

    def __init__(self, slots: int, channels: int, shrink: float = 0.0) -> None:
        super().__init__()
        self.shrink = shrink
        bound = 1 / math.sqrt(channels)
        self.slots = nn.Parameter(torch.empty(slots, channels).uniform_(-bound, bound))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        weights = functional.softmax(functional.linear(z, self.slots).float(), dim=1)
        if self.shrink > 0:
            weights = functional.normalize(functional.hardshrink(weights, self.shrink), p=1, dim=1)
        return weights @ self.slots, weights


def entropy(weights: Tensor) -> Tensor:
    """-sum_i w_i log w_i of each row `[N, slots]`, nats: `[N]`."""
    return -torch.special.xlogy(weights, weights.clamp_min(1e-12)).sum(dim=1)
