"""What is worked out from the parameters of modules, kept beside one of them until a parameter changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import nn

from secondread.networks.native.state import State

T = TypeVar("T")


@dataclass(frozen=True)
class Kept(Generic[T]):
    """No copy is made of it with its module, whose parameters have other places then; and some of what is
    kept cannot be copied."""

    form: tuple[object, ...] = ()
    state: State | None = None
    found: T | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, ()


def kept(place: nn.Module, name: str, form: tuple[object, ...], state: State, make: Callable[[], T]) -> T:
    """What `make` gives of parameters in this `state` and in this `form`, kept beside `place` by `name`."""
    before: Kept[T] | None = place.__dict__.get(name)
    if before is not None and before.found is not None and before.state == state and before.form == form:
        return before.found
    found = make()
    place.__dict__[name] = Kept(form, state.held(), found)
    return found
