"""Structural similarity of two images, per image and per position."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from secondread.networks.by_rank import channel_mean, halved
from secondread.networks.gaussian_blur import blur_axis, gaussian
from secondread.networks.native.choice import Choice, is_plain
from secondread.networks.native.trial import gain
from secondread.networks.precision import full_precision
from secondread.networks.similarity.kernel import CODE, SimilarityKernel

CHUNK = 1 << 17
"""Elements that are compared at a time, so that they stay in the processor's cache."""
SMALLEST = 1e-6
"""In place of 0 or less, of which a power has no gradient."""


def structural_similarity_map(
    x: Tensor, y: Tensor, *, data_range: float = 1.0, window: int = 11, deviation: float = 1.5
) -> Tensor:
    """SSIM at every position of `[N, C, *S]`, mean over channels: `[N, 1, *S']`.

        SSIM = (2 m_x m_y + c1)(2 v_xy + c2) / ((m_x^2 + m_y^2 + c1)(v_x + v_y + c2))

    with means, variances and covariance under a Gaussian window of 11 positions and standard deviation
    1.5, c1 = (0.01 L)^2, c2 = (0.03 L)^2, L = `data_range`. Only windows that lie inside the image
    count: S' = S - window + 1; the window shrinks to the image where that is smaller. Always float32.
    Pictures without gradient on a CPU pass once through compiled code, if there is some and a trial on this
    machine found it faster; it agrees to 1e-5.
    Source: Wang et al., IEEE Transactions on Image Processing 13(4), 2004.
    """
    with full_precision(x):
        x, y = x.float(), y.float()
        kernel = _kernel(x, y)
        if kernel is not None:
            return channel_mean(_compiled(x, y, data_range, window, deviation, kernel))
        chunk = max(1, CHUNK // x[0].numel())
        return torch.cat(
            [
                _similarity(a, b, data_range, window, deviation)
                for a, b in zip(x.split(chunk), y.split(chunk), strict=True)
            ]
        )


def multiscale_similarity(
    x: Tensor,
    y: Tensor,
    weights: Sequence[float],
    valid: Tensor | None = None,
    *,
    data_range: float = 1.0,
    window: int = 11,
) -> Tensor:
    """Multi-scale SSIM of each image of `[N, C, *S]`, in [0, 1]: `[N]`.

        product over scales j of s_j^w_j

    with s_j the mean over positions of the second factor of SSIM (contrast and structure), and on the last
    scale of all of it; negative means count as 0. Each scale has half the size of the one before, by means of
    2 (an odd length loses its last position). Mean over channels of the products. Always float32. With
    `valid` the means are over the windows that `structural_similarity` has, a position of a coarser scale
    being valid where all that it is a mean of are.
    `ValueError` where the last scale would be empty.

    Source: Z. Wang, E. P. Simoncelli, A. C. Bovik, Multiscale structural similarity for image quality
    assessment, Asilomar 2003.
    """
    last = len(weights) - 1
    if min(x.shape[2:]) < 2**last:
        raise ValueError(f"{len(weights)} scales need at least {2**last} pixels, not {tuple(x.shape[2:])}")
    with full_precision(x):
        x, y = x.float(), y.float()
        product = torch.ones((), device=x.device)
        for scale, weight in enumerate(weights):
            luminance, structure = _factors(x, y, data_range, window, 1.5)
            compared = structure if scale < last else luminance * structure
            product = product * _mean(compared, valid, x.shape[2:], window).clamp_min(SMALLEST) ** weight
            if scale < last:
                x, y = halved(x), halved(y)
                valid = None if valid is None else _halved(valid)
        return product.mean(dim=1)


def _similarity(x: Tensor, y: Tensor, data_range: float, window: int, deviation: float) -> Tensor:
    luminance, structure = _factors(x, y, data_range, window, deviation)
    return channel_mean(luminance * structure)


def _kernel(x: Tensor, y: Tensor) -> SimilarityKernel | None:
    """The compiled code, where it suits pictures and is faster."""
    suits = is_plain(x) and is_plain(y) and x.dim() == 4 and x.shape == y.shape
    return CHOICE.kernel() if suits and not torch.is_grad_enabled() else None


def _compiled(
    x: Tensor, y: Tensor, data_range: float, window: int, deviation: float, kernel: SimilarityKernel
) -> Tensor:
    down, across = (_weights(min(window, length), deviation) for length in x.shape[2:])
    return kernel(x.contiguous(), y.contiguous(), (down, across), _constants(data_range))


@lru_cache(maxsize=16)
def _weights(window: int, deviation: float) -> Tensor:
    return gaussian(window, deviation)


@torch.no_grad()
def _trial(kernel: SimilarityKernel) -> float:
    x, y = torch.rand(2, 1, 1, 128, 128, generator=torch.Generator().manual_seed(0)).unbind()
    return gain(
        {
            False: lambda: _similarity(x, y, 1.0, 11, 1.5),
            True: lambda: _compiled(x, y, 1.0, 11, 1.5, kernel),
        }
    )


CHOICE = Choice(CODE, _trial)


def _constants(data_range: float) -> tuple[float, float]:
    return (0.01 * data_range) ** 2, (0.03 * data_range) ** 2


def _factors(x: Tensor, y: Tensor, data_range: float, window: int, deviation: float) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast with structure, at every position and of every channel."""
    pairs = torch.cat((x, y, x * x + y * y, x * y))
    for axis, length in enumerate(x.shape[2:]):
        pairs = blur_axis(pairs, axis, deviation, min(window, length))
    mean_x, mean_y, squares, product = pairs.chunk(4)
    c1, c2 = _constants(data_range)
    product_of_means, squares_of_means = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    luminance = (2 * product_of_means + c1) / (squares_of_means + c1)
    covariance = product - product_of_means
    variances = (squares - squares_of_means).clamp_min(0)
    return luminance, (2 * covariance + c2) / (variances + c2)


def structural_similarity(
    x: Tensor, y: Tensor, valid: Tensor | None = None, *, data_range: float = 1.0, window: int = 11
) -> Tensor:
    """Mean SSIM of each image, `[N]`, in [-1, 1].

    With `valid` `[N, 1, *S]`, over windows that lie wholly in the valid area; where an image has none,
    over windows whose centre is valid.
    """
    similarity = structural_similarity_map(x, y, data_range=data_range, window=window)
    return _mean(similarity, valid, x.shape[2:], window)[:, 0]


def _mean(of: Tensor, valid: Tensor | None, size: Sequence[int], window: int) -> Tensor:
    """Of each channel of `[N, C, *S']` over windows on images of this size: `[N, C]`."""
    if valid is None:
        return of.flatten(2).mean(dim=2)
    inside = centre = valid
    for axis, length in enumerate(size):
        inside = _all_of_window(inside, axis, min(window, length))
    for axis, length in enumerate(size, start=2):
        centre = centre.narrow(axis, (min(window, length) - 1) // 2, of.shape[axis])
    weight = torch.where(inside.flatten(1).any(1).view(-1, *[1] * (of.dim() - 1)), inside, centre).float()
    return (of * weight).flatten(2).sum(dim=2) / weight.flatten(2).sum(dim=2).clamp_min(1)


def _halved(valid: Tensor) -> Tensor:
    """Valid where a whole cell is; where an image has no such cell, where some of one is."""
    share = halved(valid.float())
    whole = share >= 1
    return torch.where(whole.flatten(1).any(1).view(-1, *[1] * (valid.dim() - 1)), whole, share > 0)


def _all_of_window(valid: Tensor, axis: int, window: int) -> Tensor:
    """Whether all of the `window` positions from each one on are set: windows of 1, 2, 4 … are joined."""
    axis += 2
    width = 1
    while width < window:
        step = min(width, window - width)
        left = valid.shape[axis] - step
        valid = valid.narrow(axis, 0, left) & valid.narrow(axis, step, left)
        width += step
    return valid
