"""How much a cache holds at most, without looking at its files: what a count found, and what came since.

    size     bytes that the last count found; not there while one goes on, and before the first
    written  one line for each file that was written since: its bytes

Files that were written anew or deleted since make it less, never more. A process that is killed while it
counts leaves no `size`, so that the next one counts again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from secondread.outputs.private import FILE
from secondread.outputs.whole import write_whole


class Growth:
    """Of the cache in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.size = directory / "size"
        self.written = directory / "written"

    def add(self, count: int) -> None:
        """So many bytes were written. Several processes may say so at once. Raises OSError."""
        descriptor = os.open(self.written, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE)
        try:
            os.write(descriptor, f"{count}\n".encode())
        finally:
            os.close(descriptor)

    def at_most(self) -> int | None:
        """Bytes; None where they have to be counted."""
        try:
            counted = int(self.size.read_bytes())
        except (OSError, ValueError):
            return None
        try:
            return counted + sum(map(int, self.written.read_bytes().split()))
        except FileNotFoundError:
            return counted
        except (OSError, ValueError):
            return None

    def begin_count(self) -> None:
        with contextlib.suppress(OSError):
            self.size.unlink(missing_ok=True)
            self.written.unlink(missing_ok=True)

    def end_count(self, found: int) -> None:
        with contextlib.suppress(OSError):
            write_whole(self.size, str(found).encode())
