"""A column of texts most of which are the same few."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from secondread.packed import Packed


class Words(Packed[str]):
    """4 bytes a text, and each different one once."""

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
