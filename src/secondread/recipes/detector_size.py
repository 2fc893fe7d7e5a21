"""How large a detector would be: built on the meta device, which holds no numbers, under a ceiling.

So what a recipe asks for is known, and refused where it is too much, before the machine gives any memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules import module as registration

from secondread.detectors.contract import Detector
from secondread.networks.on_meta.shapes_only import ShapesOnly


@dataclass(frozen=True)
class Ceiling:
    """Parameters, buffers and modules together, by number; and the bytes of parameters and buffers."""

    number: int = 20_000
    bytes: int = 16 << 30


@contextmanager
def _counted(ceiling: Ceiling) -> Iterator[None]:
    """ValueError as soon as modules that are built within have more than the ceiling allows."""
    number, size = 0, 0

    def count(_module: nn.Module, _name: str, added: nn.Module | Tensor | None) -> None:
        nonlocal number, size
        number += 1
        if isinstance(added, Tensor):
            size += added.numel() * added.element_size()
        if number > ceiling.number:
            raise ValueError(f"asks for a model of more than {ceiling.number:,} parts")
        if size > ceiling.bytes:
            raise ValueError(f"asks for a model of more than {ceiling.bytes / 2**30:.3g} GiB")

    with ExitStack() as stack:
        for register in (
            registration.register_module_parameter_registration_hook,
            registration.register_module_buffer_registration_hook,
            registration.register_module_module_registration_hook,
        ):
            stack.callback(register(count).remove)
        yield


def plan_detector(make: Callable[[], Detector], ceiling: Ceiling | None = None) -> Detector:
    """What `make` builds, on the meta device. Raises ValueError where it is beyond the ceiling, or where its
    sizes cannot be reckoned with."""
    try:
        with torch.device("meta"), ShapesOnly(), _counted(ceiling or Ceiling()):
            return make()
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise ValueError(f"cannot be built as it is set ({' '.join(str(error).split())[:120]})") from error
