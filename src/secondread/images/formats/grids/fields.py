"""Fields of a header that is written as text, one a line, and the numbers in them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from secondread.images.image import ImageError

MOST_HEADER_BYTES = 1 << 20
_AGAIN = "export the file again"
_WHOLE = re.compile(r"[+-]?\d{1,12}")


class Fields:
    """A header's fields by name, in small letters without spaces.

    path   of the file, for messages
    name   as messages call a field, and as it is written in the header
    """

    def __init__(self, path: str, fields: Mapping[str, str]) -> None:
        self._path, self._fields = path, fields

    def text(self, name: str, *others: str, otherwise: str | None = None) -> str:
        """What a field says, or one of its `others` names. Raises ImageError where it is missing and nothing
        stands for it."""
        for key in (name, *others):
            found = self._fields.get(_plain(key))
            if found is not None:
                return found
        if otherwise is None:
            raise ImageError(self._path, f"{name} is missing from the header", _AGAIN)
        return otherwise

    def has(self, *names: str) -> bool:
        return any(_plain(name) in self._fields for name in names)

    def one_of(self, name: str, terms: Mapping[str, str], otherwise: str | None = None) -> str:
        """What a field's word stands for. Raises ImageError for a word that is none of them."""
        found = self.text(name, otherwise=otherwise).lower()
        if found not in terms:
            raise self.wrong(name, f"none of {', '.join(dict.fromkeys(terms.values()))}")
        return terms[found]

    def whole(self, name: str, *others: str, otherwise: int | None = None) -> int:
        """A field's whole number."""
        found = self.text(name, *others, otherwise=None if otherwise is None else str(otherwise))
        if not _WHOLE.fullmatch(found):
            raise self.wrong(name, "no whole number")
        return int(found)

    def whole_numbers(self, name: str, count: int) -> tuple[int, ...]:
        found = self.text(name).split()
        if len(found) != count or not all(_WHOLE.fullmatch(each) for each in found):
            raise self.wrong(name, f"not {count} whole numbers")
        return tuple(map(int, found))

    def numbers(self, name: str, *others: str, count: int) -> tuple[float, ...]:
        """A field's finite numbers."""
        found = self.text(name, *others).split()
        values = tuple(map(number_in, found))
        if len(values) != count or not all(map(math.isfinite, values)):
            raise self.wrong(name, f"not {count} finite number{'s' if count > 1 else ''}")
        return values

    def wrong(self, name: str, why: str) -> ImageError:
        """The error for a field; what it says is not repeated, for that is free text."""
        return ImageError(self._path, f"{name} in the header is {why}", _AGAIN)


def number_in(text: str) -> float:
    """The number that a text is; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _plain(name: str) -> str:
    return name.lower().replace(" ", "")


def as_name(text: str) -> str:
    """How `Fields` keeps a field's name."""
    return _plain(text.strip())
