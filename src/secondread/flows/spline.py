"""Monotone rational-quadratic splines: each number's own increasing function, with a known inverse."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LEAST = 1e-3
"""The smallest share of the interval that a bin takes, in width and in height, and the smallest slope."""
_SLOPE_ONE = math.log(math.expm1(1.0 - LEAST))


def spline(x: Tensor, h: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """y and log dy/dx of each number of x `[*]`, for coefficients h `[*, 3 K - 1]` of K bins.

        widths, heights = 2 B (floor + (1 - K floor) softmax(h)),   slopes = floor + softplus(h + a)

    In a bin of width w, height h, s = h / w, from (x_0, y_0), with the slopes d_0 and d_1 at its ends and
    t = (x - x_0) / w:

        y     = y_0 + h (s t^2 + d_0 t (1 - t)) / (s + (d_0 + d_1 - 2 s) t (1 - t))
        dy/dx = s^2 (d_1 t^2 + 2 s t (1 - t) + d_0 (1 - t)^2) / (s + (d_0 + d_1 - 2 s) t (1 - t))^2

    Outside of [-B, B], B = `bound`, it is the identity, and its slope at both ends is 1. The constant a makes
    it the identity at h = 0, where the paper's inner slopes are 0.694.

    Source: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, Neural spline flows, NeurIPS 2019.
    """
    inside = x.abs() < bound
    left, bottom, width, height, first, last = _bins(torch.where(inside, x, 0.0), h, bound, of_y=False)
    t = (torch.where(inside, x, 0.0) - left) / width
    y, log_slope = _within(t, height / width, first, last)
    return torch.where(inside, bottom + height * y, x), torch.where(inside, log_slope, 0.0)


def inverse_spline(y: Tensor, h: Tensor, bound: float) -> Tensor:
    """The x that `spline` takes to y: the root of its quadratic that does not cancel."""
    inside = y.abs() < bound
    within = torch.where(inside, y, 0.0)
    left, bottom, width, height, first, last = _bins(within, h, bound, of_y=True)
    slope, above = height / width, within - bottom
    bend = first + last - 2.0 * slope
    a = height * (slope - first) + above * bend
    b = height * first - above * bend
    c = -slope * above
    root = (b.square() - 4.0 * a * c).clamp_min(0.0).sqrt()  # below zero by rounding alone
    t = 2.0 * c / (-b - root)
    return torch.where(inside, left + width * t, y)


def _within(t: Tensor, slope: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The share of a bin's height at the share t of its width, and log dy/dx."""
    both = t * (1.0 - t)
    below = slope + (first + last - 2.0 * slope) * both
    y = (slope * t.square() + first * both) / below
    above = last * t.square() + 2.0 * slope * both + first * (1.0 - t).square()
    return y, 2.0 * slope.log() + above.log() - 2.0 * below.log()


def _bins(at: Tensor, h: Tensor, bound: float, *, of_y: bool) -> tuple[Tensor, ...]:
    """Of the bin of each number: left and bottom end, width and height, slopes at both ends."""
    count = (h.shape[-1] + 1) // 3
    widths, heights, slopes = h.split((count, count, count - 1), dim=-1)
    x, y = _knots(widths, bound), _knots(heights, bound)
    inner = LEAST + functional.softplus(slopes + _SLOPE_ONE)
    slopes = functional.pad(inner, (1, 1), value=1.0)
    knots = y if of_y else x
    number = (at[..., None] >= knots[..., 1:-1]).sum(dim=-1, keepdim=True)

    def of(values: Tensor, ahead: int = 0) -> Tensor:
        return values.gather(-1, number + ahead).squeeze(-1)

    left, bottom = of(x), of(y)
    return left, bottom, of(x, 1) - left, of(y, 1) - bottom, of(slopes), of(slopes, 1)


def _knots(raw: Tensor, bound: float) -> Tensor:
    """From -bound to bound, `[*, K + 1]`."""
    share = LEAST + (1.0 - LEAST * raw.shape[-1]) * raw.softmax(dim=-1)
    inner = 2.0 * bound * share[..., :-1].cumsum(dim=-1) - bound
    return functional.pad(functional.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)
