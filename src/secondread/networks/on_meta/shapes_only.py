"""Shapes of what a network gives on the meta device, without torch's compiler.

torch reckons the shapes of some operations in Python, and imports its compiler for the first of them: two
seconds of every process that reads a bundle, for a sum of two maps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


class ShapesOnly(TorchDispatchMode):
    """Within it, these operations, normalisations, joins, unit matrices and random numbers give empty results
    on the meta device."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, to keep it out of here

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        step, more = func.overloadpacket, kwargs or {}
        if step in (aten.eye, aten.randn) and torch.device(more.get("device") or "cpu").type == "meta":
            shape = args[0] if step is aten.randn else (args[0], *args)[-2:]
            return torch.empty(shape, dtype=more.get("dtype"), device="meta")
        given = args[0] if step is aten.cat else [x for x in args[:2] if isinstance(x, Tensor)]
        if given and all(x.is_meta and x.is_floating_point() for x in given) and "out" not in more:
            first = given[0]
            if step in NUMBER_BY_NUMBER:
                return args[0] if func._schema.is_mutable else _number_by_number(given)
            if step is aten.cat and len({(x.dim(), x.dtype) for x in given}) == 1:
                return _joined(given, args[1] if len(args) > 1 else more.get("dim", 0))
            if step is aten.native_batch_norm and not args[5]:
                return torch.empty_like(first), first.new_empty(0), first.new_empty(0)
            if step is aten.native_group_norm:
                return torch.empty_like(first), *(first.new_empty(args[3], args[6]) for _ in range(2))
        return func(*args, **more)


def _number_by_number(given: list[Tensor]) -> Tensor:
    first, *others = given
    try:
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in given))  # torch's own imports sympy
    except ValueError as error:
        raise RuntimeError(str(error)) from None
    dtype = first.dtype if not others else torch.result_type(first, others[0])
    if first.shape == shape:
        return torch.empty_like(first, dtype=dtype)
    return first.new_empty(shape, dtype=dtype)


def _joined(given: list[Tensor], axis: int) -> Tensor:
    shape = list(given[0].shape)
    for x in given[1:]:
        if _without(x, axis) != _without(given[0], axis):
            raise RuntimeError(f"maps of {tuple(given[0].shape)} and {tuple(x.shape)} cannot be joined")
    shape[axis] = sum(x.shape[axis] for x in given)
    return given[0].new_empty(shape)


def _without(x: Tensor, axis: int) -> list[int]:
    return [*x.shape[: axis % x.dim()], *x.shape[axis % x.dim() + 1 :]]
