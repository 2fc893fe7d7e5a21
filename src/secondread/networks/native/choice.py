"""Compiled code or the way without it: whichever a trial on this machine finds faster."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

import torch
from torch import Tensor

from secondread.networks.as_graph import written_as_graph
from secondread.networks.native.build import SWITCH, Code, Kernel
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
    _faster: dict[int, tuple[Kernel, bool]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
        if os.environ.get(SWITCH) == "1":
            return True
        known = self._faster.get(id(kernel))  # each image asks, several times
        if known is None or known[0] is not kernel:
            known = kernel, is_faster(self.code.stamp(SINGLE), lambda: self.trial(kernel))
            self._faster[id(kernel)] = known
        return known[1]


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
