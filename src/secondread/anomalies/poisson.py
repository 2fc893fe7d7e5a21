"""Poisson blending: inside a region an image takes over gradients of another, and its border stays."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

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

    What is solved for is the change u - x, which is 0 around the region, in float64. A region that fills its
    bounding box is solved in closed form in the basis of sines, in which the Laplacian is diagonal; any other
    by conjugate gradients, preconditioned with that solution on the bounding box. Each image has its own box,
    so images are solved one after another; the work is in products of matrices as large as the box.

    Source: P. Pérez, M. Gangnet, A. Blake, Poisson image editing, ACM Transactions on Graphics 2003.
    """
    changed = images.clone()
    for number, region in enumerate(inside[:, 0]):
        bounds = bounds_of(region)
        if bounds is None:
            continue
        if any(low == 0 or high == length for (low, high), length in zip(bounds, region.shape, strict=True)):
            raise ValueError("a region to blend touches the border of the grid, where it has no neighbours")
        around = tuple(slice(low - 1, high + 1) for low, high in bounds)
        within = tuple(slice(low, high) for low, high in bounds)
        divergence = missing_divergence(
            images[number][(slice(None), *around)].double(),
            sources[number][(slice(None), *around)].double(),
            float(own[number]),
            float(foreign[number]),
            mixed=bool(mixed[number]),
        )
        kept, before = region[within], images[number][(slice(None), *within)]
        after = before + solved(divergence, kept)
        changed[number][(slice(None), *within)] = torch.where(kept, after, before.double()).to(images.dtype)
    return changed


def bounds_of(region: Tensor) -> list[tuple[int, int]] | None:
    """First position and the one behind the last along each axis of a mask; None of an empty one."""
    bounds = []
    for axis in range(region.dim()):
        there = region.movedim(axis, 0).flatten(1).any(dim=1).nonzero()
        if not len(there):
            return None
        bounds.append((int(there[0]), int(there[-1]) + 1))
    return bounds


def missing_divergence(image: Tensor, source: Tensor, own: float, foreign: float, *, mixed: bool) -> Tensor:
    """Σ_q (v_pq - (x_p - x_q)) of all but the outermost positions: `[C, *S]` to `[C, *(S - 2)]`."""
    rank = image.dim() - 1
    found = torch.zeros([len(image), *(length - 2 for length in image.shape[1:])]).to(image)
    for axis in range(1, rank + 1):
        lines = tuple(slice(None) if a in (0, axis) else slice(1, -1) for a in range(rank + 1))
        gradient = image[lines].diff(dim=axis)
        a, b = own * gradient, foreign * source[lines].diff(dim=axis)
        missing = (torch.where(a.abs() > b.abs(), a, b) if mixed else a + b) - gradient
        found -= missing.diff(dim=axis)
    return found


def solved(divergence: Tensor, inside: Tensor) -> Tensor:
    """w with Σ_q (w_p - w_q) = divergence inside, and w = 0 elsewhere: float64 `[C, *S]`, bool `[*S]`."""
    if bool(inside.all()):
        return solved_in_box(divergence)
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
    values, total = divergence, torch.zeros((), dtype=torch.float64, device=divergence.device)
    for axis, length in enumerate(divergence.shape[1:]):
        values = _turned(values, axis + 1)
        shape = [length if own == axis else 1 for own in range(divergence.dim() - 1)]
        total = total + _eigenvalues(length).to(total).view(shape)
    values = values / total
    for axis in range(1, divergence.dim()):
        values = _turned(values, axis)
    return values


def _turned(values: Tensor, axis: int) -> Tensor:
    sines = _sines(values.shape[axis]).to(values)
    return (values.transpose(axis, -1) @ sines).transpose(axis, -1)


@lru_cache(maxsize=64)
def _sines(length: int) -> Tensor:
    """√(2 / (n + 1)) sin(π j k / (n + 1)), its own inverse. A product with it is faster than a fast Fourier
    transform up to some hundred positions, whatever the factors of n + 1."""
    steps = torch.arange(1, length + 1, dtype=torch.float64)
    turns = steps.outer(steps) % (2 * (length + 1))
    return torch.sin(turns * (math.pi / (length + 1))) * math.sqrt(2 / (length + 1))


def _eigenvalues(length: int) -> Tensor:
    steps = torch.arange(1, length + 1, dtype=torch.float64)
    return 2 - 2 * torch.cos(steps * (math.pi / (length + 1)))


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Of each channel, shaped to go with `[C, *S]`."""
    return (one * other).flatten(1).sum(dim=1).view(-1, *[1] * (one.dim() - 1))


def _ratio(one: Tensor, other: Tensor) -> Tensor:
    """0 where a channel has nothing left to solve."""
    return torch.where(other > 0, one / other.clamp_min(1e-300), 0)
