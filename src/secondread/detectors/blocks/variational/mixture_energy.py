"""What a mixture of Gaussians as a prior costs: the terms of the bound beside the reconstruction."""

from __future__ import annotations

import math

from torch import Tensor


def log_density(z: Tensor, mean: Tensor, log_precision: Tensor) -> Tensor:
    """log N(z; m_c, s_c²) of each component, `[N, K, *grid]`, with v_c = log(1 / s_c²):

        -1/2 sum over dims of [(z - m_c)² exp(v_c) - v_c + log 2π]

    z `[N, dims, *grid]`; m and v `[N, K, dims, *grid]`.
    """
    distance = (z[:, None] - mean).square() * log_precision.exp()
    return -0.5 * (distance - log_precision + math.log(2 * math.pi)).sum(dim=2)


def component_log_probabilities(z: Tensor, mean: Tensor, log_precision: Tensor) -> Tensor:
    """log p(c | z, w) of components that are equally likely beforehand, `[N, K, *grid]`."""
    return log_density(z, mean, log_precision).log_softmax(dim=1)


def conditional_divergence(
    z_mean: Tensor, z_log_variance: Tensor, mean: Tensor, log_precision: Tensor, log_chosen: Tensor
) -> Tensor:
    """sum over c of p(c | z, w) KL(q(z | x) || N(m_c, s_c²)), `[N, *grid]`, from log p(c | z, w)."""
    variance = z_log_variance.exp()[:, None]
    ratio = (variance + (z_mean[:, None] - mean).square()) * log_precision.exp()
    each = 0.5 * (ratio - log_precision - z_log_variance[:, None] - 1).sum(dim=2)
    return (log_chosen.exp() * each).sum(dim=1)


def choice_divergence(log_chosen: Tensor) -> Tensor:
    """KL(p(c | z, w) || uniform) = sum over c of p log(K p), `[N, *grid]`, from log p(c | z, w): a component
    that is next to impossible then costs nothing, and has a finite slope."""
    return (log_chosen.exp() * log_chosen).sum(dim=1) + math.log(log_chosen.shape[1])
