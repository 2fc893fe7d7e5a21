"""What a latent variable costs whose prior is a standard normal distribution."""

from __future__ import annotations

from torch import Tensor


def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, s²) || N(0, 1)) of each number in nats, in the shape of `mean`."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
