"""Sequences whose entries are made when they are asked for, of what is held in little memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

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


class Chosen(Packed[T]):
    """Some of a sequence's entries, by their numbers."""

    def __init__(self, among: Sequence[T], numbers: NDArray[np.int64]) -> None:
        self._among, self._numbers = among, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def made(self, at: int) -> T:
        return self._among[int(self._numbers[at])]

    def __iter__(self) -> Iterator[T]:
        among, numbers = self._among, self._numbers
        if 2 * len(numbers) > len(among) and bool(np.all(numbers[1:] > numbers[:-1])):
            taken = np.zeros(len(among), np.uint8)
            taken[numbers] = 1
            return compress(among, taken.tobytes())  # going through all is faster than asking for each
        return map(among.made if isinstance(among, Packed) else among.__getitem__, numbers.tolist())
