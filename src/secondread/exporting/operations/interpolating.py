"""Resizing: products with a matrix along each axis, which torch itself gives for one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from secondread.exporting.written import Written

Write = Callable[..., Any]
OneAxis = Callable[[Tensor, int], Tensor]


def along_axes(w: Written, x: Tensor, name: str, size: Sequence[int], of_one: Sequence[OneAxis]) -> str:
    """`[N, C, *S]` brought to `size` by a matrix for each spatial axis whose length changes: the one that
    `of_one`, given `[1, S, S]` and the new length, makes of the identity."""
    for number, (length, of_axis) in enumerate(zip(size, of_one, strict=True)):
        axis, before = 2 + number, x.shape[2 + number]
        if before == length:
            continue
        with _disable_current_modes():
            matrix = of_axis(torch.eye(before, dtype=torch.float64)[None], length)[0]
        name = multiplied(w, x.dim(), name, matrix.to(x.dtype), axis)
    return name


def multiplied(w: Written, rank: int, name: str, matrix: Tensor, axis: int) -> str:
    """A value times a matrix along one of its axes."""
    value = w.graph.constant(matrix, matrix.dtype)
    if axis == rank - 1:
        return w.graph.node("MatMul", name, value)
    if axis == rank - 2:
        return w.graph.node("MatMul", w.graph.constant(matrix.T, matrix.dtype), name)
    order = list(range(rank))
    order[axis], order[-1] = rank - 1, axis
    found = w.graph.node("MatMul", w.graph.node("Transpose", name, perm=order), value)
    return w.graph.node("Transpose", found, perm=order)


def _adaptive_mean(w: Written, out: Tensor, x: Tensor, size: Sequence[int]) -> str:
    given = w.name(x) if x.dim() == len(size) + 2 else w.graph.reshape(w.name(x), (1, *x.shape))
    whole = x if x.dim() == len(size) + 2 else x[None]
    one: OneAxis = functional.adaptive_avg_pool1d
    return w.graph.reshape(along_axes(w, whole, given, size, [one] * len(size)), out.shape)


def _linear(w: Written, out: Tensor, x: Tensor, size: Any, corners: bool, *scales: Any) -> str:
    return along_axes(w, x, w.name(x), out.shape[2:], [_of_one("linear", corners, s) for s in _of(x, scales)])


def _cubic(w: Written, out: Tensor, x: Tensor, size: Any, corners: bool, *scales: Any) -> str:
    def one(scale: float | None) -> OneAxis:
        def of(eye: Tensor, length: int) -> Tensor:
            # torch has bicubic for pictures alone: each row of the identity becomes a picture of equal rows
            kept = torch.ops.aten.upsample_bicubic2d(
                eye[:, None].expand(-1, -1, -1, -1), [eye.shape[1], length], corners, None, scale
            )
            return kept[:, 0]

        return of

    return along_axes(w, x, w.name(x), out.shape[2:], [one(scale) for scale in _of(x, scales)])


def _of_one(mode: str, corners: bool, scale: float | None) -> OneAxis:
    def of(eye: Tensor, length: int) -> Tensor:
        return torch.ops.aten.upsample_linear1d(eye, [length], corners, scale)

    return of


def _nearest(w: Written, out: Tensor, x: Tensor, size: Any, *scales: Any) -> str:
    name = w.name(x)
    for number, scale in enumerate(_of(x, scales)):
        length, before = out.shape[2 + number], x.shape[2 + number]
        with _disable_current_modes():
            places = torch.ops.aten.upsample_nearest1d(
                torch.arange(before, dtype=torch.float64)[None, None], [length], scale
            )[0, 0]
        if length != before:
            name = w.graph.node("Gather", name, w.graph.constant(places, torch.int64), axis=2 + number)
    return name


def _of(x: Tensor, scales: Sequence[Any]) -> list[float | None]:
    """One scale for each spatial axis."""
    flat = [s for scale in scales for s in (scale if isinstance(scale, (list, tuple)) else [scale])]
    return flat if len(flat) == x.dim() - 2 else [None] * (x.dim() - 2)


def _sampled(w: Written, out: Tensor, x: Tensor, grid: Tensor, mode: int, padding: int, corners: bool) -> str:
    return w.graph.node(
        "GridSample",
        w.name(x),
        w.name(grid),
        mode=("linear", "nearest", "cubic")[mode],
        padding_mode=("zeros", "border", "reflection")[padding],
        align_corners=int(corners),
    )


INTERPOLATING: dict[str, Write] = {
    "_adaptive_avg_pool2d": _adaptive_mean, "_adaptive_avg_pool3d": _adaptive_mean,
    "adaptive_avg_pool1d": _adaptive_mean,
    "upsample_linear1d": _linear, "upsample_bilinear2d": _linear, "upsample_trilinear3d": _linear,
    "upsample_bicubic2d": _cubic,
    "upsample_nearest1d": _nearest, "upsample_nearest2d": _nearest, "upsample_nearest3d": _nearest,
    "grid_sampler_2d": _sampled, "grid_sampler_3d": _sampled,
}  # fmt: skip
