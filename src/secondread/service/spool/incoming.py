"""A file that arrives piece by piece, before it is known what it is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO


class Incoming:
    """A new file among the spool's incoming ones, locked by its writer, which `Spool.keep` makes an instance
    without writing it again. `discard` it in any case: what was kept stays."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.size = 0
        self._digest = hashlib.sha256()
        self.ended = False

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Raises OSError."""
        block = memoryview(data)
        self._digest.update(block)
        self.size += len(block)
        while len(block):
            block = block[os.write(self.descriptor, block) :]

    def read_again(self) -> BinaryIO:
        """What was written, from its start."""
        return self.path.open("rb")

    def discard(self) -> None:
        if not self.ended:
            self.ended = True
            self.path.unlink(missing_ok=True)
            os.close(self.descriptor)
