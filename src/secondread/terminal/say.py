"""Lines for a person. Names of files stand in them, so nothing in a line may steer a terminal."""

from __future__ import annotations

import sys


def say(line: object, *, shown: bool = True) -> None:
    """Print one line to standard error, harmless; nothing where it is not to be shown."""
    if shown:
        print(harmless(str(line)), file=sys.stderr, flush=True)


def harmless(text: str) -> str:
    r"""The text with every character that is not printable as its escape: a carriage return as `\r`, the
    terminal's escape character as `\x1b`, a byte that is no text as `\udc80`; line ends stay.

    >>> harmless("a\rb\x1b[2J")
    'a\\rb\\x1b[2J'
    """
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )
