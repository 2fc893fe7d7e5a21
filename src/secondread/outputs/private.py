"""What is written is for its owner alone; whoever wants to share it says so with `chmod` afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER, FILE = 0o700, 0o600
OTHERS = 0o077


def make_folder(path: Path) -> Path:
    """Make a folder, and those above it that are missing, for their owner alone. One that is there stays as
    it is. Raises OSError."""
    path = Path(path)
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path == path.parent:
            break
        path = path.parent
    for folder in reversed(missing):
        try:
            folder.mkdir(FOLDER)
        except FileExistsError:
            if not folder.is_dir():
                raise
    return missing[0] if missing else path


def mode_of(path: Path) -> int:
    """The permissions that a file keeps when it is replaced: those that its owner gave it, else his alone."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return FILE


@contextmanager
def private() -> Iterator[None]:
    """Whatever this process and its children write within the block, also through other libraries, is for its
    owner alone. A stricter umask stays."""
    before = os.umask(OTHERS)
    os.umask(before | OTHERS)
    try:
        yield
    finally:
        os.umask(before)
