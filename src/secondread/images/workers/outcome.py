"""What came of one item that was given to a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from secondread.images.image import ImageError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The item at `index` gave `value`."""

    index: int
    value: Result


@dataclass(frozen=True)
class Failed:
    """The item at `index` gave no value, and why."""

    index: int
    error: ImageError
