"""Whether the parameters and buffers of modules are those of which something was kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

_version = attrgetter("_version")


@dataclass(frozen=True)
class State:
    """Equal to another one where nothing has changed.

    numbers  where each tensor lies, and how often it was changed in place
    tensors  they themselves: while they are kept, no other tensor comes to lie there
    """

    numbers: tuple[int, ...] = ()
    tensors: tuple[Tensor, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash(self.numbers)

    def __reduce__(self) -> tuple[Any, ...]:
        return State, ()

    def held(self) -> State:
        """The same, which a change of a parameter's `data` leaves the memory that it had."""
        return State(self.numbers, tuple(tensor.detach() for tensor in self.tensors))


def state_of(modules: Iterable[nn.Module]) -> State:
    """Of the modules' own tensors; those of their parts where these make the module's weight, as torch's
    parametrizations do. An image alone waits for some hundred of them, so this is written for its speed."""
    # Training moves running statistics without a new version of them; of their count it makes one.
    found: list[Tensor | None] = []
    for module in modules:
        parameters, buffers = module._parameters, module._buffers
        found.extend(parameters.values())
        if buffers:
            found.extend(buffers.values())
        if "parametrizations" in module._modules:  # from which the weight follows
            found += [*module.parameters(), *module.buffers()]
    tensors = tuple([tensor for tensor in found if tensor is not None])
    return State((*map(Tensor.data_ptr, tensors), *map(_version, tensors)), tensors)
