"""A fit in one process, with what it uses of Lightning Fabric, which several processes need.

Fabric imports torch's compiler and a system for algebra (sympy), which takes as long as importing torch. What
it does for one process is what stands here, with the same numbers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    Processes: TypeAlias = Fabric | "OneProcess"
    """All processes of a fit, as one of them sees them."""

T = TypeVar("T")


class OneProcess:
    """The only process of a fit. What passes between processes stays as it is.

    bf16  whether losses are computed in bfloat16 where torch's autocast does so
    """

    world_size = 1
    global_rank = 0
    is_global_zero = True

    def __init__(self, device: torch.device, *, bf16: bool) -> None:
        self.device = device if device.type == "cpu" else torch.device(device.type, device.index or 0)
        self.bf16 = bf16
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    def autocast(self) -> AbstractContextManager[object]:
        """Within it losses are computed in the precision of the fit."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of the loss to the parameters' own."""
        loss.backward()

    def barrier(self) -> None:
        """Nobody is waited for."""

    def broadcast(self, told: T) -> T:
        """What process 0 says."""
        return told

    def all_reduce(self, values: Tensor, *, reduce_op: str) -> Tensor:
        """The sum or mean over processes."""
        return values
