"""Compiled code or the way without it: whichever a trial on this machine finds faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor

from secondread.networks.as_graph import written_as_graph
from secondread.networks.native.build import Code, Kernel
from secondread.networks.native.trial import is_faster, kept_gain

SINGLE = torch.float32


@dataclass(frozen=True)
class Choice(Generic[Kernel]):
    """Code in float32.

    trial    by how much its functions are faster (`trial.gain`)
    without  the way without it, in words: `by torch`
    """

    code: Code[Kernel]
    trial: Callable[[Kernel], float]
    without: str = "by torch"

    def kernel(self) -> Kernel | None:
        """The functions; None where there are none, or they are not faster."""
        kernel = self.code.native(SINGLE)
        return kernel if kernel is not None and self._is_faster(kernel) else None

    def told(self) -> str:
        """Which way is taken here, and why."""
        kernel = self.code.native(SINGLE)
        if kernel is None:
            return f"{self.without} ({self.code.why_not(SINGLE)})"
        faster = kept_gain(self.code.stamp(SINGLE), lambda: self.trial(kernel))
        beside = f"{faster:.2f} times as fast as {self.without.removeprefix('by ')} here"
        compiled = f"code compiled for {self.code.form_of(SINGLE)}, {beside}"
        return f"by {compiled}" if self._is_faster(kernel) else f"{self.without} ({compiled})"

    def _is_faster(self, kernel: Kernel) -> bool:
        return is_faster(self.code.stamp(SINGLE), lambda: self.trial(kernel))


def is_plain(x: Tensor) -> bool:
    """Whether x, which is not empty, is float32 on a CPU, and no autocast, graph or transform of
    `torch.func` wants to see what is done with it."""
    return (
        x.device.type == "cpu"
        and x.dtype is SINGLE
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not written_as_graph()
        and not torch._C._are_functorch_transforms_active()
    )
