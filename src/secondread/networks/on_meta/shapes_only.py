"""Shapes of what a network gives on the meta device, without torch's compiler.

torch reckons the shapes of some operations in Python, and imports its compiler, or sympy, for the first of
them: a second or two of every process that reads a bundle, for a sum of two maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from secondread.networks.on_meta.operations import NUMBER_BY_NUMBER, OPERATIONS, number_by_number


class ShapesOnly(TorchDispatchMode):
    """Within it, the operations that stand in `operations` give empty results on the meta device."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, to keep it out of here

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        step, more = func.overloadpacket, kwargs or {}
        if "out" not in more and _on_meta(args, more):
            if step in NUMBER_BY_NUMBER:
                given = [x for x in args[:2] if isinstance(x, Tensor)]
                if given and all(x.is_floating_point() for x in given):
                    return args[0] if func._schema.is_mutable else number_by_number(given)
            elif step in OPERATIONS and (made := OPERATIONS[step](*args, **more)) is not None:
                return made
        return func(*args, **more)


def _on_meta(args: tuple[Any, ...], more: dict[str, Any]) -> bool:
    """Whether all tensors that an operation is given are on the meta device, or what it makes of none."""
    given = list(_tensors(args))
    if given:
        return all(x.is_meta for x in given)
    return torch.device(more.get("device") or "cpu").type == "meta"


def _tensors(args: tuple[Any, ...]) -> Iterator[Tensor]:
    for one in args:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, (list, tuple)):
            yield from (x for x in one if isinstance(x, Tensor))
