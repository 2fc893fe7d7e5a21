"""Bytes of a plain file of bounded length: never a pipe, a device, or terabytes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO


class Unfit(ValueError):
    """What was given is not what it should be; `str()` is one line without the file's name."""

    def __init__(self, problem: str) -> None:
        super().__init__(" ".join(problem.split())[:300])


@contextmanager
def open_plain(path: str | Path, *, links: bool = True) -> Iterator[BufferedReader]:
    """The plain file `path`, opened for reading; without `links` the last part may be no symbolic link.

    Raises Unfit for anything else (a folder, a pipe, a socket, a device), OSError where it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.ELOOP):
            raise Unfit("is a link, a pipe or a device, not a plain file") from None
        raise
    except ValueError as error:
        raise Unfit(f"is no path of a file ({error})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unfit("is not a plain file")
    with open(descriptor, "rb") as file:
        yield file


def length_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def read_plain(path: str | Path, most: int, *, links: bool = True) -> bytes:
    """All bytes of a plain file of at most `most`. Raises Unfit, or OSError; see `open_plain`."""
    with open_plain(path, links=links) as file:
        length = length_of(file)
        if length <= most:
            data = file.read(most + 1)
            length = max(length, len(data))
    if length > most:
        raise Unfit(f"has {length:,} bytes, and at most {most:,} are read")
    return data


def read_text(path: str | Path, most: int) -> str:
    """The UTF-8 text of a plain file of at most `most` bytes. Raises Unfit, or OSError."""
    try:
        return read_plain(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unfit(f"is not a text file in UTF-8 (byte {error.start:,})") from None
