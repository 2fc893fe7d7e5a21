"""What operations give on the meta device: the shape, type and order in memory of their results.

Each function takes what its operation takes, and gives its result without numbers, or None for a case that is
left to torch. RuntimeError, as from the operation itself, for shapes that do not go together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

aten = torch.ops.aten

NUMBER_BY_NUMBER = frozenset(
    {
        *(
            aten.add,
            aten.sub,
            aten.mul,
            aten.div,
            aten.neg,
            aten.relu,
            aten.hardtanh,
            aten.sigmoid,
            aten.silu,
        ),
        *(aten.gelu, aten.leaky_relu, aten.elu, aten.tanh, aten.hardswish, aten.hardsigmoid, aten.clamp),
        *(aten.add_, aten.sub_, aten.mul_, aten.div_, aten.relu_, aten.hardtanh_, aten.sigmoid_, aten.silu_),
        *(aten.leaky_relu_, aten.elu_, aten.tanh_, aten.hardswish_, aten.clamp_),
        *(aten.exp, aten.log, aten.sin, aten.cos, aten.sqrt, aten.square, aten.sign, aten.softplus),
    }
)
"""Operations on numbers at the same place, whose results have the type of what they are given."""


def number_by_number(given: Sequence[Tensor], dtype: torch.dtype | None = None) -> Tensor:
    """The result of one of them, or of a comparison, whose type is `dtype`."""
    first, *others = given
    try:
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in given))  # torch's own imports sympy
    except ValueError as error:
        raise RuntimeError(str(error)) from None
    if dtype is None:
        dtype = first.dtype if not others else torch.result_type(first, others[0])
    if first.shape == shape:
        return _alike(first, dtype)
    return first.new_empty(shape, dtype=dtype)


def _compared(*given: Any) -> Tensor:
    return number_by_number([x for x in given if isinstance(x, Tensor)], torch.bool)


def _alike(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """As `torch.empty_like`, which imports sympy for a tensor on the meta device."""
    if not aten.is_non_overlapping_and_dense(x):
        return x.new_empty(x.shape, dtype=dtype)
    return torch.empty_strided(x.shape, x.stride(), dtype=dtype or x.dtype, device="meta")


def _made(shape: Sequence[int], dtype: torch.dtype | None) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _eye(rows: int, columns: int | None = None, *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _made((rows, rows if columns is None else columns), dtype)


def _drawn(shape: Sequence[int], *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _made(shape, dtype)


def _drawn_integers(*bounds_and_shape: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _made(bounds_and_shape[-1], dtype or torch.int64)


def _permutation(length: int, *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _made((length,), dtype or torch.int64)


def _in_place(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _sorted(x: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
    return _alike(x), _alike(x, torch.int64)


def _orthogonal_and_triangular(x: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor] | None:
    if mode != "reduced":
        return None
    *before, rows, columns = x.shape
    least = min(rows, columns)
    return x.new_empty(*before, least, rows).mT, x.new_empty(*before, columns, least).mT


def _cholesky(x: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape).mT, x.new_empty(x.shape[:-2], dtype=torch.int32)


def _determinant(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pivots = x.new_empty(x.shape[:-1], dtype=torch.int32)
    return x.new_empty(x.shape[:-2]), x.new_empty(x.shape).mT, pivots


def _repeated(x: Tensor, times: Sequence[int]) -> Tensor:
    shape = (*[1] * (len(times) - x.dim()), *x.shape)
    return x.new_empty([length * number for length, number in zip(shape, times, strict=True)])


def _counted(*bounds: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor | None:
    """Of whole numbers alone."""
    if not all(isinstance(number, int) for number in bounds):
        return None
    return _made((len(range(*bounds)),), dtype or torch.int64)


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    beyond: Sequence[int],
    groups: int,
) -> Tensor:
    first, second = weight.shape[0], groups * weight.shape[1]
    takes, gives = (first, second) if transposed else (second, first)
    if x.shape[1] != takes:
        raise RuntimeError(f"a convolution of {tuple(weight.shape)} was given a map of {tuple(x.shape)}")
    step, edge, apart, more = (_each(x, given) for given in (stride, padding, dilation, beyond))
    shape = []
    for axis, (length, kernel) in enumerate(zip(x.shape[2:], weight.shape[2:], strict=True)):
        reach = apart[axis] * (kernel - 1)
        if transposed:
            shape.append((length - 1) * step[axis] - 2 * edge[axis] + reach + more[axis] + 1)
        else:
            shape.append((length + 2 * edge[axis] - reach - 1) // step[axis] + 1)
    if min(shape) < 1:
        raise RuntimeError(f"a convolution of {tuple(weight.shape)} leaves nothing of {tuple(x.shape)}")
    return x.new_empty(x.shape[0], gives, *shape)


def _largest_of_windows(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor] | None:
    if ceil_mode or x.dim() != 4:
        return None
    step, edge, apart, width = (_each(x, given) for given in (stride or kernel, padding, dilation, kernel))
    shape = [
        (length + 2 * edge[axis] - apart[axis] * (width[axis] - 1) - 1) // step[axis] + 1
        for axis, length in enumerate(x.shape[2:])
    ]
    if min(shape) < 1:
        raise RuntimeError(f"windows of {tuple(width)} leave nothing of {tuple(x.shape)}")
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    maximum, place = (
        torch.empty((*x.shape[:2], *shape), dtype=dtype, device="meta", memory_format=order)
        for dtype in (x.dtype, torch.int64)
    )
    return maximum, place


def _edges_repeated(x: Tensor, around: Sequence[int]) -> Tensor:
    """`around` has two numbers for each axis, beginning with the last axis."""
    shape = list(x.shape)
    for axis in range(len(around) // 2):
        shape[-1 - axis] += around[2 * axis] + around[2 * axis + 1]
    if min(shape[1:]) < 1:
        raise RuntimeError(f"a border of {tuple(around)} leaves nothing of {tuple(x.shape)}")
    return x.new_empty(shape)


def _joined(given: Sequence[Tensor], axis: int = 0) -> Tensor | None:
    if len({(x.dim(), x.dtype) for x in given}) != 1:
        return None
    shape = list(given[0].shape)
    for x in given[1:]:
        if _without(x, axis) != _without(given[0], axis):
            raise RuntimeError(f"maps of {tuple(given[0].shape)} and {tuple(x.shape)} cannot be joined")
    shape[axis] = sum(x.shape[axis] for x in given)
    return given[0].new_empty(shape)


def _stacked(given: Sequence[Tensor], axis: int = 0) -> Tensor | None:
    if len({(x.shape, x.dtype) for x in given}) != 1:
        return None
    shape = list(given[0].shape)
    shape.insert(axis if axis >= 0 else axis + len(shape) + 1, len(given))
    return given[0].new_empty(shape)


def _without(x: Tensor, axis: int) -> list[int]:
    return [*x.shape[: axis % x.dim()], *x.shape[axis % x.dim() + 1 :]]


def _batch_normalised(x: Tensor, *more: Any) -> tuple[Tensor, Tensor, Tensor]:
    training = more[4]
    kept = x.shape[1] if training else 0
    return _alike(x), x.new_empty(kept), x.new_empty(kept)


def _group_normalised(x: Tensor, *more: Any) -> tuple[Tensor, Tensor, Tensor]:
    images, groups = more[2], more[5]
    return _alike(x), x.new_empty(images, groups), x.new_empty(images, groups)


def _each(x: Tensor, given: Sequence[int]) -> tuple[int, ...]:
    """A number for each of a map's axes; one alone stands for all."""
    return (*given, *[given[-1]] * (x.dim() - 2 - len(given)))


OPERATIONS: dict[Any, Callable[..., Any]] = {
    aten.eye: _eye,
    aten.randn: _drawn,
    aten.rand: _drawn,
    aten.randint: _drawn_integers,
    aten.randperm: _permutation,
    aten.normal_: _in_place,
    aten.uniform_: _in_place,
    aten.sort: _sorted,
    aten.linalg_qr: _orthogonal_and_triangular,
    aten.linalg_cholesky_ex: _cholesky,
    aten._linalg_det: _determinant,
    aten.repeat: _repeated,
    aten.arange: _counted,
    aten.convolution: _convolved,
    aten.max_pool2d_with_indices: _largest_of_windows,
    aten.replication_pad2d: _edges_repeated,
    aten.replication_pad3d: _edges_repeated,
    aten.cat: _joined,
    aten.stack: _stacked,
    aten.native_batch_norm: _batch_normalised,
    aten.native_group_norm: _group_normalised,
} | dict.fromkeys((aten.lt, aten.le, aten.gt, aten.ge, aten.eq, aten.ne), _compared)
