"""Products of matrices, distances between rows, and the spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from secondread.exporting.operations.reducing import reduced
from secondread.exporting.written import Written

Write = Callable[..., Any]
MOST_DIFFERENCES = 1 << 22
"""Numbers of all differences between two sets of rows that are held at once."""


def _product(w: Written, out: Tensor, a: Tensor, b: Tensor) -> str:
    return w.graph.node("MatMul", w.name(a), w.name(b))


def _outer(w: Written, out: Tensor, a: Tensor, b: Tensor) -> str:
    return w.graph.node("MatMul", w.graph.reshape(w.name(a), (-1, 1)), w.graph.reshape(w.name(b), (1, -1)))


def _product_and_sum(
    w: Written, out: Tensor, bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1
) -> str:
    found = w.graph.node("MatMul", w.name(a), w.name(b))
    if alpha != 1:
        found = w.graph.node("Mul", found, w.graph.constant(alpha, out.dtype))
    added = w.name(bias)
    if beta != 1:
        added = w.graph.node("Mul", added, w.graph.constant(beta, out.dtype))
    return w.graph.node("Add", found, added)


def _linear(w: Written, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> str:
    turned = w.graph.node("Transpose", w.name(weight), perm=[1, 0])
    found = w.graph.node("MatMul", w.name(x), turned)
    return found if bias is None else w.graph.node("Add", found, w.name(bias))


def _distances(w: Written, out: Tensor, a: Tensor, b: Tensor, p: float = 2.0, *_: Any) -> str:
    """Of each row of a to each of b. Where all differences would take much memory, from |a|² + |b|² - 2ab in
    double precision, in which the squares' loss lies below that of single."""
    g = w.graph
    size = a.shape[-1] * b.shape[-2] * a.numel() // a.shape[-1]
    if size <= MOST_DIFFERENCES or p != 2:
        first = g.reshape(w.name(a), (*a.shape[:-1], 1, a.shape[-1]))
        second = g.reshape(w.name(b), (*b.shape[:-2], 1, *b.shape[-2:]))
        apart = g.node("Sub", first, second)
        if p == 1:
            return reduced(w, "ReduceSum", g.node("Abs", apart), [out.dim()], False)
        if p != 2:
            raise NotImplementedError(f"distances of order {p}")
        return g.node("Sqrt", reduced(w, "ReduceSum", g.node("Mul", apart, apart), [out.dim()], False))
    double = torch.float64
    first, second = (g.cast(w.name(x), x.dtype, double) for x in (a, b))
    squares = [reduced(w, "ReduceSum", g.node("Mul", x, x), [-1], True) for x in (first, second)]
    order = [*range(b.dim() - 2), b.dim() - 1, b.dim() - 2]
    product = g.node("MatMul", first, g.node("Transpose", second, perm=order))
    total = g.node("Add", squares[0], g.node("Transpose", squares[1], perm=order))
    found = g.node("Sub", total, g.node("Add", product, product))
    return g.cast(g.node("Sqrt", g.node("Relu", found)), double, out.dtype)


def _squared_distances(w: Written, out: Tensor, a: Tensor, b: Tensor) -> str:
    return _distances(w, out, a, b)


def _spectrum(w: Written, out: Tensor, x: Tensor, axes: Sequence[int], norm: int, onesided: bool) -> str:
    """The discrete Fourier transform of real values, as products with cosines and sines along one axis after
    the other; the real and the imaginary part lie along a last axis of length 2."""
    g = w.graph
    real, imaginary = w.name(x), ""
    for number, axis in enumerate([a % x.dim() for a in reversed(axes)]):
        length = x.shape[axis]
        kept = length // 2 + 1 if onesided and number == 0 else length
        turn = torch.arange(length)[:, None] * torch.arange(kept) % length
        angle = turn.double() * (-2 * torch.pi / length)
        c, s = (g.constant(part, x.dtype) for part in (angle.cos(), angle.sin()))
        if not imaginary:
            real, imaginary = _along(w, x, real, c, axis), _along(w, x, real, s, axis)
            continue
        both = [(_along(w, x, part, c, axis), _along(w, x, part, s, axis)) for part in (real, imaginary)]
        real, imaginary = g.node("Sub", both[0][0], both[1][1]), g.node("Add", both[0][1], both[1][0])
    scale = {0: 1.0, 1: 1.0, 2: 1.0}[0]
    if norm:
        count = 1
        for axis in axes:
            count *= x.shape[axis]
        scale = count**-0.5 if norm == 1 else 1 / count
    parts = [g.reshape(part, (*out.shape, 1)) for part in (real, imaginary)]
    found = g.node("Concat", *parts, axis=-1)
    return found if scale == 1 else g.node("Mul", found, g.constant(scale, x.dtype))


def _along(w: Written, x: Tensor, name: str, matrix: str, axis: int) -> str:
    """`name` times a matrix along one axis."""
    last = x.dim() - 1
    if axis == last:
        return w.graph.node("MatMul", name, matrix)
    order = list(range(x.dim()))
    order[axis], order[last] = last, axis
    turned = w.graph.node("MatMul", w.graph.node("Transpose", name, perm=order), matrix)
    return w.graph.node("Transpose", turned, perm=order)


PRODUCTS: dict[str, Write] = {
    "mm": _product, "bmm": _product, "matmul": _product, "mv": _product, "dot": _product, "outer": _outer,
    "addmm": _product_and_sum, "baddbmm": _product_and_sum, "addmv": _product_and_sum, "linear": _linear,
    "_cdist_forward": _distances, "_euclidean_dist": _squared_distances, "cdist": _distances,
    "_fft_r2c": _spectrum,
}  # fmt: skip
