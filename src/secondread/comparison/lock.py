"""One process at a time in a folder, by a lock that ends with the process, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondread.errors import UserError

LOCK = ".lock"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_LOOK_SECONDS = 0.1


@contextmanager
def only_one(folder: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold `folder`, which is made where it is missing, for the block.

    The lock is the system's (`flock` on the file `.lock`), so nothing is left of it after `kill -9`; the file
    itself stays and names its last holder. Raises UserError where another process still holds the folder
    after `wait_seconds`, or where the disk offers no locks.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + wait_seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in _HELD:
                    raise UserError(
                        f"{folder}: the disk offers no file locks ({error.strerror}), so two comparisons "
                        "could not be kept apart; choose a folder on another disk with -o"
                    ) from error
                if time.monotonic() >= until:
                    raise UserError(
                        f"{folder}: another comparison is at work here ({holder(folder) or 'unknown'}); "
                        "wait for its end, or choose another folder with -o"
                    ) from None
            time.sleep(_LOOK_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str:
    """`process 123 on HOST`: who holds the folder or held it last; empty where nobody did."""
    with contextlib.suppress(OSError):
        return (folder / LOCK).read_text(encoding="utf-8").strip()
    return ""
