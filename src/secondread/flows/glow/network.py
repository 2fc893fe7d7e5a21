"""A coupling's network ready for use: folded, in torch's operations or AMX tiles, or compiled in vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from secondread.flows.glow.coupling_net import (
    LOG_SCALE_FACTOR,
    Hidden,
    fold,
    run_backward,
    run_forward,
    runs_compiled,
    unfold_gradients,
)
from secondread.flows.glow.native import VectorKernel

LOGS = (2, 5, 8)
"""Where in `CouplingNet.values()` the logarithms of the gains are."""


class Network(Protocol):
    """Both passes of a network on planes `[C, N, *S]`. `dtype` is the precision of its operands."""

    dtype: torch.dtype

    def keeps(self, x: Tensor) -> bool:
        """Whether it is worth keeping hidden values of a forward pass on x for the backward one."""
        ...

    def forward(self, x: Tensor, keep: Hidden | None = None) -> Tensor:
        """The output, in the precision of x; `keep` takes the hidden values."""
        ...

    def backward(
        self, x: Tensor, gradient: Tensor, hidden: Hidden | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Gradients of x and of `CouplingNet.values()`, given that of the output."""
        ...


class Folded:
    """The network as matrices with its normalisations folded in (`flows.glow.coupling_net`)."""

    def __init__(self, values: Sequence[Tensor], dtype: torch.dtype) -> None:
        self.values, self.dtype = values, dtype
        self.weights = fold(values, dtype)

    def keeps(self, x: Tensor) -> bool:
        return not runs_compiled(x, self.weights)

    def forward(self, x: Tensor, keep: Hidden | None = None) -> Tensor:
        return run_forward(x, self.weights, keep)

    def backward(
        self, x: Tensor, gradient: Tensor, hidden: Hidden | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        to_x, found = run_backward(x, self.weights, gradient, hidden)
        assert to_x is not None
        return to_x, unfold_gradients(self.values, found)


class Compiled:
    """The network in compiled vectors, which take the parameters as they are and give their gradients."""

    def __init__(self, values: Sequence[Tensor], dtype: torch.dtype, kernel: VectorKernel) -> None:
        self.dtype, self._kernel = dtype, kernel
        self._values = [value.detach().contiguous() for value in values]
        for at in LOGS:
            self._values[at] = torch.exp(LOG_SCALE_FACTOR * self._values[at])

    def keeps(self, x: Tensor) -> bool:
        return False

    def forward(self, x: Tensor, keep: Hidden | None = None) -> Tensor:
        return self._kernel.forward(x.contiguous(), self._values)

    def backward(
        self, x: Tensor, gradient: Tensor, hidden: Hidden | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        to_x, found = self._kernel.backward(x.contiguous(), self._values, gradient.contiguous())
        assert to_x is not None
        return to_x, found
