"""A residual block's value, log-determinant and gradient, without keeping the network's hidden values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from secondread.flows.residual.activations import Activation, activate, activate_twice
from secondread.flows.residual.lipschitz import Place

CHUNK_BYTES = {"cpu": 2**20, "cuda": 2**28}
"""Bytes of the widest hidden layer for the images that are worked on at once, so that on a CPU all terms of
the series find them in the cache."""


@dataclass(frozen=True)
class Network:
    """g: activation, layer, activation, layer, …; the first activation only where it is `preactivated`."""

    places: tuple[Place, ...]
    activation: Activation
    preactivated: bool


@dataclass
class Weights:
    """Of each layer its normalised matrix and bias, and the b of the activation before it."""

    matrices: Sequence[Tensor]
    biases: Sequence[Tensor]
    bs: Sequence[Tensor | None]

    def flat(self) -> tuple[Tensor | None, ...]:
        return (*self.matrices, *self.biases, *self.bs)

    @staticmethod
    def of(flat: Sequence[Any]) -> Weights:
        count = len(flat) // 3
        return Weights(flat[:count], flat[count : 2 * count], flat[2 * count :])


def residual(x: Tensor, net: Network, weights: Weights) -> Tensor:
    """g(x) for planes `[C, N, *S]`, without gradient."""
    found = torch.empty_like(x)
    for chunk in _chunks(x, weights):
        found[:, chunk], _ = _forward(x[:, chunk], net, weights)
    return found


def residual_and_series(
    x: Tensor, v: Tensor, coefficients: Tensor, net: Network, weights: Weights, *, neumann: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """g(x), the terms of log det(I + J) by channel and position, and the Neumann vector; without gradient.

        terms = v * sum over k of (-1)^(k+1) c_k / k (J^T)^k v,   whose sum is the estimate, for E v v^T = I
        w     = sum over k of (-1)^(k-1) c_k (J^T)^(k-1) v

    x, v and both results are planes `[C, N, *S]`; the coefficients are `[N, terms]`.
    """
    g, terms = torch.empty_like(x), torch.empty_like(x)
    w = torch.empty_like(x) if neumann else None
    shape = (1, -1, *(1 for _ in x.shape[2:]))
    count = coefficients.shape[1]
    for chunk in _chunks(x, weights):
        g[:, chunk], slopes = _forward(x[:, chunk], net, weights)
        u = v[:, chunk]
        total = torch.zeros_like(u)
        own = coefficients[chunk].to(x.dtype)
        gathered = u * own[:, 0].view(shape) if w is not None else None
        for k in range(1, count + 1):
            u = _transposed(u, slopes, net, weights)
            sign = 1.0 if k % 2 else -1.0
            total.addcmul_(u, own[:, k - 1].view(shape), value=sign / k)
            if gathered is not None and k < count:
                gathered.addcmul_(u, own[:, k].view(shape), value=-sign)
        terms[:, chunk] = total.mul_(v[:, chunk])
        if w is not None and gathered is not None:
            w[:, chunk] = gathered
    return g, terms, w


class ResidualFunction(torch.autograd.Function):
    """y = x + g(x) and the estimate of log det(I + J) of each image, for planes `[C, N, *S]`.

    The gradient of the log-determinant is tr((I + J)^-1 dJ), and its estimate w^T dJ v, with the Neumann
    series w of the forward pass (Chen et al., 2019). So backpropagation keeps x, v and w, which have C
    channels, and nothing of the hidden layers. It computes these again together with their derivatives in
    the direction v, and is one backward pass of the two: w^T J v is linear in what v brings.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, v: Tensor, coefficients: Tensor, net: Network, *flat: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        weights = Weights.of(flat)
        g, terms, w = residual_and_series(x, v, coefficients, net, weights, neumann=True)
        ctx.save_for_backward(x, v, w, *flat)
        ctx.net = net
        return x + g, terms.sum(dim=0).view(x.shape[1], -1).sum(dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_y: Tensor, to_log: Tensor) -> tuple[Tensor | None, ...]:
        x, v, w, *flat = ctx.saved_tensors
        net, weights = ctx.net, Weights.of(flat)
        w = w * to_log.to(w.dtype).view(1, -1, *(1 for _ in w.shape[2:]))
        found = Weights(
            [torch.zeros_like(matrix) for matrix in weights.matrices],
            [torch.zeros_like(bias) for bias in weights.biases],
            [None if b is None else torch.zeros_like(b) for b in weights.bs],
        )
        to_x = torch.empty_like(x)
        for chunk in _chunks(x, weights):
            to_x[:, chunk] = _backward(
                x[:, chunk], v[:, chunk], to_y[:, chunk], w[:, chunk], net, weights, found
            )
        return to_y + to_x, None, None, None, *found.flat()


def _forward(x: Tensor, net: Network, weights: Weights) -> tuple[Tensor, list[Tensor | None]]:
    """g(x), and phi' before each layer (None where no activation stands)."""
    grid = x.shape[1:]
    slopes: list[Tensor | None] = []
    for number, place in enumerate(net.places):
        slope = None
        if number or net.preactivated:
            x, slope = activate(net.activation, x, weights.bs[number])
        slopes.append(slope)
        x = place.apply(weights.matrices[number], x, grid)
        x += _as_of(weights.biases[number], x, place)
    return x, slopes


def _transposed(u: Tensor, slopes: list[Tensor | None], net: Network, weights: Weights) -> Tensor:
    """J^T u."""
    grid = u.shape[1:]
    for place, matrix, slope in zip(
        reversed(net.places), reversed(weights.matrices), reversed(slopes), strict=True
    ):
        u = place.transposed(matrix, u, grid)
        if slope is not None:
            u *= slope
    return u


def _backward(
    x: Tensor, v: Tensor, to_y: Tensor, w: Tensor, net: Network, weights: Weights, found: Weights
) -> Tensor:
    """The gradient of <to_y, g(x)> + <w, J v> to x; those to the weights are added to `found`.

    Values and tangents go through each layer side by side, as 2 N images.
    """
    last = len(net.places) - 1
    both, axis = torch.cat((x, v), dim=1), 1
    grid = both.shape[1:]
    inputs, kept = [], []
    for number, place in enumerate(net.places):
        local = None
        if number or net.preactivated:
            primal, tangent = both.chunk(2, dim=axis)
            value, slope, bend, to_b = activate_twice(net.activation, primal.contiguous(), weights.bs[number])
            local = (primal, slope, bend, tangent, to_b)
            both = torch.cat((value, slope * tangent), dim=axis)
        inputs.append(both)
        kept.append(local)
        axis = 0
        if number < last:
            both = place.apply(weights.matrices[number], both, grid)
            both[: len(both) // 2] += weights.biases[number]
    coming, axis = torch.cat((to_y, w), dim=1), 1
    for number in reversed(range(last + 1)):
        place, given = net.places[number], coming.chunk(2, dim=axis)[0]
        found.matrices[number].add_(place.gradient(inputs[number], coming))
        found.biases[number].add_(given.sum(dim=0) if place.kind != "leave" else given.flatten(1).sum(dim=1))
        coming = place.transposed(weights.matrices[number], coming, grid)
        axis = 1 if number == 0 else 0
        local = kept[number]
        if local is None:
            continue
        primal, slope, bend, tangent, to_b = local
        to_value, to_tangent = coming.chunk(2, dim=axis)
        crossed = (tangent * to_tangent).mul_(bend)
        b, sum_b = weights.bs[number], found.bs[number]
        if b is not None and sum_b is not None and to_b is not None:
            sum_b += (to_value * to_b).sum() + (crossed * primal).sum() / b
        coming = torch.cat((crossed.addcmul_(to_value, slope), slope * to_tangent), dim=axis)
    return coming.chunk(2, dim=1)[0]


def _as_of(bias: Tensor, x: Tensor, place: Place) -> Tensor:
    """A bias in the shape in which it is added to what a layer gives."""
    return bias if place.kind != "leave" else bias.view(-1, *(1 for _ in x.shape[1:]))


def _chunks(x: Tensor, weights: Weights) -> Iterator[slice]:
    """Slices of the images of planes `[C, N, *S]`."""
    positions = x[0, 0].numel()
    widest = max(len(matrix) for matrix in weights.matrices)
    room = CHUNK_BYTES.get(x.device.type, 2**28)
    count = max(1, room // (widest * positions * x.element_size()))
    for at in range(0, x.shape[1], count):
        yield slice(at, min(at + count, x.shape[1]))
