"""Sequences whose entries are made when they are asked for, of what is held in little memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class Packed(Sequence[T]):
    """Says how an entry is made; a slice is a list of entries."""

    @abstractmethod
    def made(self, at: int) -> T:
        """The entry of a number from 0 to below the length."""

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        places = range(len(self))[at]
        return self.made(places) if isinstance(places, int) else list(map(self.made, places))

    def __iter__(self) -> Iterator[T]:
        return map(self.made, range(len(self)))
