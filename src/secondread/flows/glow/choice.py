"""Which form of a coupling's network runs: the compiled one where a trial finds it faster than torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from secondread.flows.glow.coupling_net import CouplingNet
from secondread.flows.glow.native import VectorKernel, form_of, native, stamp, why_not
from secondread.flows.glow.network import Compiled, Folded, Network
from secondread.networks.as_graph import written_as_graph
from secondread.networks.native.trial import gain, is_faster, kept_gain

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}


def network_of(values: Sequence[Tensor], dtype: torch.dtype) -> Network:
    """The network of these `CouplingNet.values()`, in the form that is fastest in this precision."""
    first = values[0]
    compiled = first.device.type == "cpu" and first.dtype == torch.float32 and first.ndim in (4, 5)
    if compiled and dtype in PRECISIONS.values() and not written_as_graph():
        kernel = native(dtype)
        if isinstance(kernel, VectorKernel) and _is_faster(kernel, dtype):
            return Compiled(values, dtype, kernel)
    return Folded(values, dtype)


def told() -> str:
    """Which form runs in each precision, or why none does."""
    return "; ".join(f"{name}: {_told(dtype)}" for name, dtype in PRECISIONS.items())


def _told(dtype: torch.dtype) -> str:
    kernel = native(dtype)
    if kernel is None:
        return f"none ({why_not(dtype)})"
    if not isinstance(kernel, VectorKernel):
        return f"compiled for {form_of(dtype)}"
    gain = gain_over_torch(kernel, dtype)
    if not _is_faster(kernel, dtype):
        return f"none (compiled for {form_of(dtype)}, {gain:.2f} times as fast as torch here)"
    return f"compiled for {form_of(dtype)}, {gain:.1f} times as fast as torch here"


def _is_faster(kernel: VectorKernel, dtype: torch.dtype) -> bool:
    return is_faster(stamp(dtype), lambda: _trial(kernel, dtype))


def gain_over_torch(kernel: VectorKernel, dtype: torch.dtype) -> float:
    """The time of both passes in torch's operations by that of the compiled network, on a small map."""
    return kept_gain(stamp(dtype), lambda: _trial(kernel, dtype))


@torch.no_grad()
def _trial(kernel: VectorKernel, dtype: torch.dtype) -> float:
    generator = torch.Generator().manual_seed(0)
    net = CouplingNet(2, 2, 4, 128, generator=generator)
    x, gradient = (
        torch.randn(2, 2, 32, 32, generator=generator),
        torch.randn(4, 2, 32, 32, generator=generator),
    )
    values = [value.detach() for value in net.values()]

    def both_passes(compiled: bool) -> None:
        network = Compiled(values, dtype, kernel) if compiled else Folded(values, dtype)
        network.forward(x)
        network.backward(x, gradient)

    return gain({compiled: partial(both_passes, compiled) for compiled in (False, True)})
