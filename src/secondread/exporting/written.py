"""What a writer of operations sees of the tape."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from secondread.exporting.onnx_graph import OnnxGraph

Operand = Tensor | float | int | bool


class Written(Protocol):
    """The graph so far, and the names of tensors in it."""

    graph: OnnxGraph

    def name(self, tensor: Tensor) -> str:
        """Of a tensor's value in the graph."""
        ...


def operand(w: Written, value: Operand, dtype: torch.dtype) -> str:
    """A tensor or number as a value of that type."""
    if isinstance(value, Tensor):
        return w.graph.cast(w.name(value), value.dtype, dtype)
    return w.graph.constant(value, dtype)


def floating(w: Written, x: Tensor, out: Tensor) -> str:
    """`x` in the type of the result."""
    return w.graph.cast(w.name(x), x.dtype, out.dtype)
