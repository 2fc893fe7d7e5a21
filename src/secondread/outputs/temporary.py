"""A folder or a file for its owner alone that is there as long as an object that holds it."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from secondread.errors import UserError
from secondread.outputs.whole import NO_ROOM

IN_MEMORY = 4 << 20
"""Bytes of a file without a name that stay in memory; more go to the disk."""


class TemporaryFolder:
    """A new folder below the system's folder for temporary files (`TMPDIR`), removed with the last object
    that holds it, and at the latest when Python ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="secondread-"))
        weakref.finalize(self, _remove, self.path, os.getpid())

    def __repr__(self) -> str:
        return f"<TemporaryFolder {self.path.name}>"


def _remove(path: Path, made_in: int) -> None:
    if os.getpid() == made_in:  # a process that was forked off has no say
        shutil.rmtree(path, ignore_errors=True)


def temporary_file(owner: object) -> IO[bytes]:
    """A file without a name in the system's folder for temporary files, closed with its owner."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
    weakref.finalize(owner, file.close)
    return file


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Raises UserError with one line where `what` is written within, and the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise UserError(
            f"{tempfile.gettempdir()}: {what}: no room left to write it ({error.strerror}); "
            "free some space, or set TMPDIR to a folder on another disk, and run again"
        ) from error
