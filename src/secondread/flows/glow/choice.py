"""Which form of a coupling's network runs: the compiled one where a trial finds it faster than torch."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from secondread.flows.glow.coupling_net import CouplingNet
from secondread.flows.glow.native import VectorKernel, form_of, native, stamp, why_not
from secondread.flows.glow.native.build import SWITCH
from secondread.flows.glow.network import Compiled, Folded, Network
from secondread.networks.as_graph import written_as_graph

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
ROUNDS = 5
_known: dict[Path, float] = {}


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
    return os.environ.get(SWITCH) == "1" or gain_over_torch(kernel, dtype) > 1.0


def gain_over_torch(kernel: VectorKernel, dtype: torch.dtype) -> float:
    """The time of both passes in torch's operations by that of the compiled network, on a small map.

    Tried once on a machine: the figure is kept beside the library, so that all later processes, and those
    that start at once, go the same way. Where it cannot be kept it holds for this process.
    """
    file = stamp(dtype)
    assert file is not None
    if file not in _known:
        try:
            if not file.exists():
                _write_once(file, f"{_trial(kernel, dtype):.3f}\n")
            _known[file] = float(file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            _known[file] = _trial(kernel, dtype)
    return _known[file]


def _write_once(file: Path, text: str) -> None:
    """Whole, and only where no other process has been faster."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="ascii") as made:
        made.write(text)
        made.flush()
        try:
            os.link(made.name, file)
        except FileExistsError:
            return


@torch.no_grad()
def _trial(kernel: VectorKernel, dtype: torch.dtype) -> float:
    generator = torch.Generator().manual_seed(0)
    net = CouplingNet(2, 2, 4, 128, generator=generator)
    x, gradient = (
        torch.randn(2, 2, 32, 32, generator=generator),
        torch.randn(4, 2, 32, 32, generator=generator),
    )
    values = [value.detach() for value in net.values()]
    least: dict[type, float] = {}
    for _ in range(ROUNDS):
        for kind in (Folded, Compiled):
            begun = time.process_time()
            network = Folded(values, dtype) if kind is Folded else Compiled(values, dtype, kernel)
            network.forward(x)
            network.backward(x, gradient)
            least[kind] = min(least.get(kind, 1e9), time.process_time() - begun)
    return least[Folded] / max(least[Compiled], 1e-9)
