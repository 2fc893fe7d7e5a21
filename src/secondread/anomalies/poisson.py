"""Poisson blending: inside a region an image takes over gradients of another, and its border stays."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.anomalies.neighbourhoods import Mask, bounds_of

Doubles = NDArray[np.float64]

MOST_STEPS = 10_000
"""Of conjugate gradients: far above the some dozens that any region needs."""
PRECISION = 1e-8
"""Of conjugate gradients: energy of the error that is left, as share of that at the start, its root."""


def blended(
    images: Tensor, sources: Tensor, inside: Tensor, own: Tensor, foreign: Tensor, mixed: Tensor
) -> Tensor:
    """The Dirichlet problem of Poisson image editing, solved exactly for each image and channel:

        Σ_q (u_p - u_q) = Σ_q v_pq   for each position p inside,   u = x elsewhere

    q runs over the 2 · rank neighbours of p. With x the image, d the source, a = own · (x_p - x_q) and
    b = foreign · (d_p - d_q) the guidance v_pq is a + b, or where `mixed` the one of larger size, b if equal.

    images, sources  float `[N, C, *S]`
    inside           bool `[N, 1, *S]`: the region, of any shape; False on the border of the grid
    own, foreign     float `[N]`
    mixed            bool `[N]`

    Returns the type of `images`, equal to them bit for bit where not inside. ValueError where a region
    touches the border of the grid.

    What is solved for is the change u - x, which is 0 around the region, in float64 on the CPU. A region that
    fills its bounding box is solved in closed form in the basis of sines, in which the Laplacian is diagonal;
    any other by conjugate gradients, preconditioned with that solution on the bounding box. Each image has
    its own box, so images are solved one after another; the work is in products of matrices as large as the
    box.

    Source: P. Pérez, M. Gangnet, A. Blake, Poisson image editing, ACM Transactions on Graphics 2003.
    """
    changed = images.clone()
    for number, region in enumerate(inside[:, 0].cpu().numpy()):
        bounds = bounds_of(region)
        if bounds is None:
            continue
        if any(low == 0 or high == length for (low, high), length in zip(bounds, region.shape, strict=True)):
            raise ValueError("a region to blend touches the border of the grid, where it has no neighbours")
        around = (slice(None), *(slice(low - 1, high + 1) for low, high in bounds))
        within = tuple(slice(low, high) for low, high in bounds)
        after = blended_box(
            images[number][around].double().cpu().numpy(),
            sources[number][around].double().cpu().numpy(),
            region[within],
            float(own[number]),
            float(foreign[number]),
            mixed=bool(mixed[number]),
        )
        place = (slice(None), *within)
        kept = torch.from_numpy(region[within]).to(images.device)
        before = images[number][place]
        changed[number][place] = torch.where(kept, torch.from_numpy(after).to(images), before)
    return changed


def blended_box(
    image: Doubles, source: Doubles, inside: Mask, own: float, foreign: float, *, mixed: bool
) -> Doubles:
    """`blended` of one image's box, which is a position wider on each side than `inside` `[*S]`: float64
    `[C, *(S + 2)]` to `[C, *S]`."""
    divergence = torch.from_numpy(missing_divergence(image, source, own, foreign, mixed=mixed))
    core = (slice(None), *[slice(1, -1)] * inside.ndim)
    found: Doubles = image[core] + solved(divergence, inside).numpy()
    return found


def missing_divergence(
    image: Doubles, source: Doubles, own: float, foreign: float, *, mixed: bool
) -> Doubles:
    """Σ_q (v_pq - (x_p - x_q)) of all but the outermost positions: `[C, *S]` to `[C, *(S - 2)]`."""
    rank = image.ndim - 1
    found = np.zeros([len(image), *(length - 2 for length in image.shape[1:])])
    for axis in range(1, rank + 1):
        first, rest = (
            tuple(end if own_axis == axis else slice(None) for own_axis in range(rank + 1))
            for end in (slice(None, -1), slice(1, None))
        )
        lines = tuple(slice(None) if a in (0, axis) else slice(1, -1) for a in range(rank + 1))
        gradient = image[lines][rest] - image[lines][first]
        a, b = own * gradient, foreign * (source[lines][rest] - source[lines][first])
        missing = (np.where(np.abs(a) > np.abs(b), a, b) if mixed else a + b) - gradient
        found -= missing[rest] - missing[first]
    return found


def solved(divergence: Tensor, region: Mask) -> Tensor:
    """w with Σ_q (w_p - w_q) = divergence inside, and w = 0 elsewhere: float64 `[C, *S]`, bool `[*S]`."""
    if region.all():
        return solved_in_box(divergence)
    inside = torch.from_numpy(region)
    residual = divergence * inside
    found = torch.zeros_like(residual)
    ahead = solved_in_box(residual) * inside
    along, energy = ahead, _product(residual, ahead)
    enough = energy * PRECISION**2
    for _ in range(MOST_STEPS):
        if bool((energy <= enough).all()):
            return found
        if not bool(energy.isfinite().all()):
            break
        pushed = laplacian(along) * inside
        step = _ratio(energy, _product(along, pushed))
        found = found + step * along
        residual = residual - step * pushed
        ahead = solved_in_box(residual) * inside
        before, energy = energy, _product(residual, ahead)
        along = ahead + _ratio(energy, before) * along
    raise ArithmeticError("Poisson blending did not converge; are all values of the images finite?")


def laplacian(values: Tensor) -> Tensor:
    """Σ_q (w_p - w_q) with 0 around the grid: `[C, *S]`."""
    found = values * (2 * (values.dim() - 1))
    for axis in range(1, values.dim()):
        rest = values.shape[axis] - 1
        found.narrow(axis, 0, rest).sub_(values.narrow(axis, 1, rest))
        found.narrow(axis, 1, rest).sub_(values.narrow(axis, 0, rest))
    return found


def solved_in_box(divergence: Tensor) -> Tensor:
    """The inverse of `laplacian`: `[C, *S]`, float64. With s the sines along each axis (discrete sine
    transform of the first kind), w = s (s b / λ) and λ = Σ_axes 2 - 2 cos(π k / (n + 1))."""
    values, total = divergence, _eigenvalues(divergence.shape[1]).view(-1, *[1] * (divergence.dim() - 2))
    for axis, length in enumerate(divergence.shape[1:], start=1):
        values = _turned(values, axis)
        if axis > 1:
            total = total + _eigenvalues(length).view(length, *[1] * (divergence.dim() - 1 - axis))
    values = values / total
    for axis in range(1, divergence.dim()):
        values = _turned(values, axis)
    return values


def _turned(values: Tensor, axis: int) -> Tensor:
    sines = _sines(values.shape[axis])
    if axis == values.dim() - 1:
        return values @ sines
    return (values.transpose(axis, -1) @ sines).transpose(axis, -1)


@lru_cache(maxsize=64)
def _sines(length: int) -> Tensor:
    """√(2 / (n + 1)) sin(π j k / (n + 1)), its own inverse. A product with it is faster than a fast Fourier
    transform up to some hundred positions, whatever the factors of n + 1."""
    steps = torch.arange(1, length + 1, dtype=torch.float64)
    turns = steps.outer(steps) % (2 * (length + 1))
    return torch.sin(turns * (math.pi / (length + 1))) * math.sqrt(2 / (length + 1))


@lru_cache(maxsize=64)
def _eigenvalues(length: int) -> Tensor:
    steps = torch.arange(1, length + 1, dtype=torch.float64)
    return 2 - 2 * torch.cos(steps * (math.pi / (length + 1)))


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Of each channel, shaped to go with `[C, *S]`."""
    return (one * other).flatten(1).sum(dim=1).view(-1, *[1] * (one.dim() - 1))


def _ratio(one: Tensor, other: Tensor) -> Tensor:
    """0 where a channel has nothing left to solve."""
    return torch.where(other > 0, one / other.clamp_min(1e-300), 0)
