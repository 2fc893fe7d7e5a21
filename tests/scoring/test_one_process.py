from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from secondread.scoring.one_process import OneProcess

if TYPE_CHECKING:
    from secondread.scoring.one_process import Processes


def step(processes: Processes) -> tuple[Tensor, Tensor]:
    """A loss and the gradient that it gives."""
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 3), torch.randn(4, 8)
    with processes.autocast():
        y = layer(x)
        loss = y.square().mean()
    processes.backward(loss)
    assert layer.weight.grad is not None
    return y.detach(), layer.weight.grad


@pytest.mark.parametrize("bf16", [False, True])
def test_one_process_computes_what_lightning_fabric_computes(bf16: bool) -> None:
    from lightning_fabric import Fabric  # as slow to import as torch

    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed" if bf16 else "32-true")
    fabric.launch()
    alone = OneProcess(torch.device("cpu"), bf16=bf16)
    for ours, theirs in zip(step(alone), step(fabric), strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    assert (alone.device, alone.world_size, alone.global_rank, alone.is_global_zero) == (
        fabric.device,
        fabric.world_size,
        fabric.global_rank,
        fabric.is_global_zero,
    )


def test_what_passes_between_processes_stays_as_it_is() -> None:
    alone, values = OneProcess(torch.device("cpu"), bf16=False), torch.arange(3.0)
    assert alone.broadcast("key") == "key"
    assert torch.equal(alone.all_reduce(values, reduce_op="mean"), values)
    alone.barrier()
