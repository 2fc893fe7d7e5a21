"""What a document may be, whatever it is written in: so deep, so many values, texts and numbers so long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from secondread.strict.plain_file import Unfit


@dataclass(frozen=True)
class Limits:
    """length: of the document in bytes. values: mappings, lists, names and scalars together. depth: of lists
    and mappings in each other. text: characters of one text. digits: of one number."""

    length: int
    values: int
    depth: int = 32
    text: int = 1 << 16
    digits: int = 40


def check(value: Any, limits: Limits) -> None:
    """Raises Unfit where a document that exists already, such as a mapping given in Python, exceeds them, or
    holds a number that is not finite."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    values = 0
    most = 10**limits.digits
    while waiting:
        here, depth = waiting.pop()
        values += 1
        if values > limits.values:
            raise Unfit(f"holds more than {limits.values:,} values")
        if isinstance(here, dict | list | tuple):
            if depth == limits.depth:
                raise Unfit(f"is nested more than {limits.depth} deep")
            inside = [*here, *here.values()] if isinstance(here, dict) else here
            waiting.extend((one, depth + 1) for one in inside)
        elif isinstance(here, str):
            check_text(here, limits)
        elif isinstance(here, int):
            if abs(here) >= most:
                raise Unfit(f"holds a number of more than {limits.digits} digits")
        elif isinstance(here, float) and not math.isfinite(here):
            raise Unfit(f"holds a number that is not finite ({here})")


def check_text(text: str, limits: Limits) -> None:
    """Raises Unfit where a text is too long, or has half of a surrogate pair in it."""
    if len(text) > limits.text:
        raise Unfit(f"holds a text of {len(text):,} characters, and {limits.text:,} are the most")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise Unfit("holds half of a surrogate pair, which is no character")
