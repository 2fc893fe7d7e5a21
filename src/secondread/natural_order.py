"""Paths in the order in which people count."""

from __future__ import annotations


def natural(path: str) -> list[tuple[int, int, str]]:
    """A sort key in which image 2 comes before image 10."""
    pieces: list[tuple[int, int, str]] = []
    word = ""
    number = ""
    for letter in path + "\0":
        if letter.isdecimal() and letter.isascii():
            if word:
                pieces.append((1, 0, word))
                word = ""
            number += letter
        else:
            if number:
                pieces.append((0, int(number), number))
                number = ""
            word += letter
    return [*pieces, (1, 0, word)]
