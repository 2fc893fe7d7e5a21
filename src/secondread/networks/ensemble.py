"""Several networks of one architecture behind one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

Run = Literal["auto", "sequential", "batched"]


class Ensemble(nn.Module):
    """K networks that differ in their initial parameters alone: x `[N, ...]` to `[K, N, ...]`.

    Where a network returns several tensors, each comes back with K in front.

    sequential  one network after the other
    batched     all in one pass: parameters are stacked and the network is mapped over them
                (`torch.func.vmap`), which makes grouped convolutions and batched matrix products of its
                layers; running statistics of batch normalisation are written back to each network
    auto        sequential on the CPU, where it is faster (`benchmarks/results/ensembles.py`); else batched

    Both give the same values to the rounding of the precision in use, and have one state_dict,
    `members.<k>.<name>`.
    """

    def __init__(self, build: Callable[[], nn.Module], members: int, *, run: Run = "auto") -> None:
        super().__init__()
        self.members = nn.ModuleList(build() for _ in range(members))
        self.run = run

    def forward(self, x: Tensor) -> Any:
        if self._in_one_pass(x):
            return self._batched(x)
        outputs = self.each(x)
        return tree_map(lambda *found: torch.stack(found), outputs[0], *outputs[1:])

    def each(self, x: Tensor) -> list[Any]:
        """What each network gives, `[N, ...]`, in order; without the copy that stacking takes."""
        if not self._in_one_pass(x):
            return [member(x) for member in self.members]
        leaves, form = tree_flatten(self._batched(x))
        return [tree_unflatten(list(found), form) for found in zip(*leaves, strict=True)]

    def _in_one_pass(self, x: Tensor) -> bool:
        return self.run == "batched" or (self.run == "auto" and x.device.type != "cpu")

    def _batched(self, x: Tensor) -> Any:
        template = self.members[0]
        parameters = _stacked([dict(member.named_parameters()) for member in self.members])
        every = [dict(member.named_buffers()) for member in self.members]
        with torch.no_grad():
            buffers = _stacked(every)

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
            return functional_call(template, (parameters, buffers), (x,))

        outputs = vmap(one)(parameters, buffers)
        if self.training:
            with torch.no_grad():
                for number, own in enumerate(every):
                    for name, buffer in own.items():
                        buffer.copy_(buffers[name][number])
        return outputs


def _stacked(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Inside, the modules are in eval mode and nothing keeps a gradient; afterwards each part's mode is as
    it was."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in before:
            part.training = training
