"""Many texts in the memory of their bytes, and where a text stands among them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Texts(Sequence[str]):
    """Texts in one block, 8 bytes more than its UTF-8 each, in place of Python's 50 and an object's slot.

    They are added at the end and never changed. Text of file names that are not UTF-8 comes back as it was.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._block = bytearray()
        self._ends = array("Q")
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        self._block += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._block))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        begin = self._ends[at - 1] if at else 0
        return self._block[begin : self._ends[at]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        begin = 0
        for end in self._ends:
            yield self._block[begin:end].decode("utf-8", "surrogatepass")
            begin = end


class Places:
    """Where texts stand that are kept elsewhere: their hashes, in order, 16 bytes each.

    Whether a text that has the hash is the one that is sought is the caller's to look at.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        hashes = np.frombuffer(array("q", map(hash, texts)), np.int64)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def of(self, text: str) -> list[int]:
        """The places of all texts with this one's hash, in order."""
        wanted = hash(text)
        first = int(np.searchsorted(self._hashes, wanted))
        last = int(np.searchsorted(self._hashes, wanted, "right"))
        return [int(at) for at in self._order[first:last]]

    @property
    def doubtful(self) -> NDArray[np.int64]:
        """The places of texts whose hash stands more than once, so that they may be equal; in order."""
        same = self._hashes[1:] == self._hashes[:-1]
        several = np.concatenate([same, [False]]) | np.concatenate([[False], same])
        return np.sort(self._order[several[: len(self._order)]])
