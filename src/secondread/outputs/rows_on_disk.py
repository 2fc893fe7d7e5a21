"""Many rows of as many numbers in little memory: they lie on the disk, and are gone with the process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.outputs.temporary import room_for, temporary_file


class RowsOnDisk:
    """Rows of one length and type; `rows[numbers]` is an array of some of them. Nothing is held of a row.

    what    what they are, for the one line where the disk is full
    blocks  arrays `[b, width]` that give them, all of one width and type

    digest  of all their numbers
    """

    def __init__(self, what: str, blocks: Iterable[NDArray[Any]]) -> None:
        self._file, self._count = temporary_file(self), 0
        self._row = np.zeros(0)
        made = hashlib.blake2b(digest_size=32)
        with room_for(what):
            for block in blocks:
                if self._count and (block.shape[1:], block.dtype) != (self._row.shape, self._row.dtype):
                    raise ValueError(f"{what}: rows of {block.shape[1:]} after some of {self._row.shape}")
                self._row = np.empty_like(block[0])
                data = np.ascontiguousarray(block).tobytes()
                made.update(data)
                self._file.write(data)
                self._count += len(block)
            self._file.flush()
        made.update(f"{self._row.dtype.str}{self._row.shape}".encode())
        self.digest = made.digest()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, numbers: NDArray[np.integer[Any]]) -> NDArray[Any]:
        found = np.empty((len(numbers), *self._row.shape), self._row.dtype)
        for row, number in zip(found, numbers.tolist(), strict=True):
            self._file.seek(number * self._row.nbytes)
            row[:] = np.frombuffer(self._file.read(self._row.nbytes), self._row.dtype)
        return found
