"""A file or folder that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondread.errors import UserError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `path` at the end of the block and not before.

    Everything in it is synced before the rename. Whatever goes wrong, nothing half-written stays:
    neither `path` nor the temporary folder. A full disk raises `UserError` in one line.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.writing"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        sync(temporary)
        temporary.rename(path)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, sync it, rename it. A full disk raises `UserError`."""
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.writing"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Ask the system to put a file's or folder's content on the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> UserError:
    """The one line for a write that failed."""
    if error.errno in NO_ROOM:
        return UserError(
            f"{path}: no room left to write it ({error.strerror}); free some space and run again"
        )
    return UserError(f"{path}: cannot be written ({error.strerror or error}); choose another place with -o")
