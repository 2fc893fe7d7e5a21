"""A folder for its owner alone that is there as long as an object that holds it."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path


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
