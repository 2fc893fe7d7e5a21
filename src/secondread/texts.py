"""Many texts in the memory of their bytes, and where a text stands among them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from secondread.packed import Packed

_MOST_WORDS = 4096
"""Different texts from which on a column holds each text by itself."""


class Texts(Packed[str]):
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

    def made(self, at: int) -> str:
        begin = self._ends[at - 1] if at else 0
        return self._block[begin : self._ends[at]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        begin = 0
        for end in self._ends:
            yield self._block[begin:end].decode("utf-8", "surrogatepass")
            begin = end


class Words(Packed[str]):
    """Texts most of which are the same few: 4 bytes a text, and each different one once."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._codes: dict[str, int] = {}
        self._words: list[str] = []
        self._of = array("I")
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        code = self._codes.setdefault(text, len(self._words))
        if code == len(self._words):
            self._words.append(text)
        self._of.append(code)

    def __len__(self) -> int:
        return len(self._of)

    def made(self, at: int) -> str:
        return self._words[self._of[at]]

    def __iter__(self) -> Iterator[str]:
        return (self._words[code] for code in self._of)

    @property
    def different(self) -> int:
        """How many different ones there are."""
        return len(self._words)


class Cells(Packed[str]):
    """The cells of a table's column: as `Words` while few are different, else as `Texts`."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._held: Words | Texts = Words()
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        self._held.append(text)
        if isinstance(self._held, Words) and self._held.different > _MOST_WORDS:
            self._held = Texts(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def made(self, at: int) -> str:
        return self._held.made(at)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)


class Places:
    """Where texts stand that are kept elsewhere: their hashes, in order, 16 bytes each.

    Whether a text that has the hash is the one that is sought is the caller's to look at.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._take(array("q", map(hash, texts)))

    @classmethod
    def of_hashes(cls, hashes: array[int]) -> Self:
        """Of texts that are gone again: their `hash` each, an `array("q")`."""
        found = cls(())
        found._take(hashes)
        return found

    def _take(self, given: array[int]) -> None:
        hashes = np.frombuffer(given, np.int64)
        order = np.argsort(hashes, kind="stable")
        self._order, self._hashes = array("q", order.tobytes()), array("q", hashes[order].tobytes())

    def of(self, text: str) -> list[int]:
        """The places of all texts with this one's hash, in order."""
        wanted = hash(text)
        at = bisect_left(self._hashes, wanted)
        found = []
        while at < len(self._hashes) and self._hashes[at] == wanted:
            found.append(self._order[at])
            at += 1
        return found

    def first(self, text: str, among: Sequence[str]) -> int | None:
        """The first place of a text among those that the places are of; None = it is none of them."""
        return next((at for at in self.of(text) if among[at] == text), None)

    def superseded(self, among: Callable[[int], str]) -> NDArray[np.int64]:
        """The places of texts that stand once more later, in order; `among` gives the text at a place."""
        return self._equal(among, slice(None, None, -1))

    def repeated(self, among: Callable[[int], str]) -> NDArray[np.int64]:
        """The places of texts that stand earlier, too."""
        return self._equal(among, slice(None))

    def _equal(self, among: Callable[[int], str], way: slice) -> NDArray[np.int64]:
        """Of equal texts all places but the first that way, in order."""
        hashes, order = (np.frombuffer(values, np.int64) for values in (self._hashes, self._order))
        ends = np.append(np.flatnonzero(hashes[1:] != hashes[:-1]) + 1, len(hashes))
        begins = np.append(0, ends[:-1])
        several = ends - begins > 1
        found = array("q")
        for begin, end in zip(begins[several].tolist(), ends[several].tolist(), strict=True):
            known: set[str] = set()
            for at in order[begin:end][way].tolist():
                text = among(at)
                if text in known:
                    found.append(at)
                known.add(text)
        return np.sort(np.frombuffer(found, np.int64))

    @property
    def doubtful(self) -> NDArray[np.int64]:
        """The places of texts whose hash stands more than once, so that they may be equal; in order."""
        hashes, order = (np.frombuffer(values, np.int64) for values in (self._hashes, self._order))
        same = np.concatenate([[False], hashes[1:] == hashes[:-1], [False]])
        return np.sort(order[(same[1:] | same[:-1])[: len(order)]])
