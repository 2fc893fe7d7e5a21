"""Many texts in the memory of their bytes, and where a text stands among them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from secondread.packed import Packed

_MOST_WORDS = 4096
"""Different texts from which on a column holds each text by itself."""
_DECODED_AT_ONCE = 256


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

    def extend(self, texts: Sequence[str]) -> None:
        """Add several at once, in a fraction of the time."""
        together, before = "".join(texts), len(self._block)
        if together.isascii():
            lengths: Iterable[int] = map(len, texts)
        else:
            lengths = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
        self._block += together.encode("utf-8", "surrogatepass")
        ends = accumulate(lengths, initial=before)
        next(ends)
        self._ends.extend(ends)

    def __len__(self) -> int:
        return len(self._ends)

    def made(self, at: int) -> str:
        begin = self._ends[at - 1] if at else 0
        return self._block[begin : self._ends[at]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._in_lists())

    def _in_lists(self) -> Iterator[list[str]]:
        begin = at = 0
        while at < len(self._ends):
            ends = self._ends[at : at + _DECODED_AT_ONCE]
            at += len(ends)
            block = bytes(memoryview(self._block)[begin : ends[-1]])
            places = (np.frombuffer(ends, np.uint64) - np.uint64(begin)).tolist()
            cuts = zip([0, *places[:-1]], places, strict=True)
            begin = ends[-1]
            if block.isascii():
                text = block.decode("ascii")
                yield [text[start:end] for start, end in cuts]
            else:
                yield [block[start:end].decode("utf-8", "surrogatepass") for start, end in cuts]

    @property
    def filled(self) -> bool:
        """Whether one of them is not empty."""
        return len(self._block) > 0


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

    def extend(self, texts: Iterable[str]) -> None:
        """Add several at once, in a fraction of the time."""
        texts = list(texts)
        for text in dict.fromkeys(texts):
            if self._codes.setdefault(text, len(self._words)) == len(self._words):
                self._words.append(text)
        self._of.extend(map(self._codes.__getitem__, texts))

    def __len__(self) -> int:
        return len(self._of)

    def made(self, at: int) -> str:
        return self._words[self._of[at]]

    def __iter__(self) -> Iterator[str]:
        return map(self._words.__getitem__, self._of)

    @property
    def filled(self) -> bool:
        """Whether one of them is not empty."""
        return any(self._words)

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
        self._mind()

    def extend(self, texts: Sequence[str]) -> None:
        """Add several at once, in a fraction of the time."""
        self._held.extend(texts)
        self._mind()

    def _mind(self) -> None:
        if isinstance(self._held, Words) and self._held.different > _MOST_WORDS:
            self._held = Texts(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def filled(self) -> bool:
        """Whether one of them is not empty."""
        return self._held.filled

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
