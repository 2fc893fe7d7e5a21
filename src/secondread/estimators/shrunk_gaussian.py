"""A Gaussian of vectors with a shrunk covariance, fitted in one pass without keeping them."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_VARIANCE = 1e-6
"""Of every component, as a share of the mean variance: samples that are all alike have none."""
NO_VARIANCE = 1e-12
"""As a share of the largest: directions of less are rounding, and arbitrary."""

Moments = tuple[Tensor, Tensor]
"""A vector `[D]` about which, and the sum over samples of (1, |x|², x)(1, |x|², x)^T, `[D + 2, D + 2]`."""


def add_moments(sums: Moments | None, rows: Tensor) -> Moments:
    """The sums with the samples `[n, D]` added, in float64 about the mean of the first that were added."""
    x = rows.double()
    shift, moments = sums or (x.mean(dim=0), x.new_zeros(x.shape[1] + 2, x.shape[1] + 2))
    x = x - shift
    extended = torch.cat((torch.ones_like(x[:, :1]), x.square().sum(dim=1, keepdim=True), x), dim=1)
    return shift, moments + extended.T @ extended


def samples_in(sums: Moments | None) -> int:
    return 0 if sums is None else round(float(sums[1][0, 0]))


def moments_and_shrinkage(moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean `[D]`, covariance `[D, D]` and Ledoit and Wolf's a from the sum over samples of
    (1, |x|², x)(1, |x|², x)^T.

    The shrinkage needs the sum of |x - m|⁴, and |x - m|² = |x|² - 2 m·x + |m|² is linear in (1, |x|², x).
    """
    n, dimensions = moments[0, 0], len(moments) - 2
    mean = moments[0, 2:] / n
    covariance = moments[2:, 2:] / n - torch.outer(mean, mean)
    squared_length = torch.cat((mean.square().sum()[None], torch.ones_like(mean[:1]), -2 * mean))
    fourth = squared_length @ moments @ squared_length / n
    variance = covariance.diagonal().mean()
    spread = covariance.square().sum()
    from_identity = (spread - dimensions * variance.square()).clamp_min(torch.finfo(torch.float64).tiny)
    return mean, covariance, ((fourth - spread).clamp_min(0) / n / from_identity).clamp_max(1)


def mean_and_whitener(
    sums: Moments, *, least_variance: float | None = None, most_variance: float | None = None
) -> tuple[Tensor, Tensor]:
    """m `[D]` and W `[K, D]` with |W (x - m)| the Mahalanobis distance under the shrunk covariance
    C = (1 - a) S + a tr(S) / D I, a of Ledoit and Wolf (J. Multivariate Analysis 2004).

    least_variance  along those eigenvectors alone in which S is least, together that share of tr(S) at most;
                    directions in which the samples do not vary at all are not among them
    most_variance   along the fewest eigenvectors that hold at least that share of tr(S)
    """
    shift, moments = sums
    mean, covariance, shrinkage = moments_and_shrinkage(moments)
    variances, components = torch.linalg.eigh(covariance)
    middle = variances.mean()
    shrunk = (1 - shrinkage) * variances + shrinkage * middle
    shrunk = shrunk.clamp_min(LEAST_VARIANCE * middle.clamp_min(LEAST_VARIANCE))
    whitener = (components / shrunk.sqrt()).T
    if least_variance is not None:
        first = int((variances <= NO_VARIANCE * variances[-1]).sum()) % len(variances)
        share = variances[first:].cpu().cumsum(0) / variances[first:].sum().cpu()
        kept = max(1, int((share <= least_variance).sum()))
        whitener = whitener[first : first + kept]
    if most_variance is not None:
        falling = variances.flip(0).clamp_min(0).cpu()
        share = falling.cumsum(0) / falling.sum().clamp_min(torch.finfo(torch.float64).tiny)
        kept = min(1 + int((share < most_variance).sum()), len(variances))
        whitener = whitener[len(variances) - kept :]
    return shift + mean, whitener
