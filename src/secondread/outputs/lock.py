"""One process at a time at an output, by a lock that ends with the process, however it ends."""

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
from secondread.outputs.private import FILE, make_folder

LOCK = ".lock"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_LOOK_SECONDS = 0.1
_MOST_TIMES_GONE = 100
"""How often a folder may be gone between two steps; a place such as /proc has none to give, however often."""


def hold(path: Path, descriptor: int) -> bool:
    """Lock the open file or folder for this process until it is closed; whether `path` is still that file.

    Raises BlockingIOError where another process holds it, another OSError where the disk offers no locks.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise BlockingIOError(error.errno, error.strerror) from None
        raise
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def lock_file(output: Path, *, beside: bool = False) -> Path:
    """Where an output's lock lies: in the folder, or `beside` one that is not there until it is whole."""
    return output.with_name(f".{output.name}{LOCK}") if beside else output / LOCK


@contextmanager
def only_one(output: Path, *, beside: bool = False, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold an output for the block. The folder that the lock lies in is made where it is missing.

    The lock is the system's (`flock`), so nothing holds it after `kill -9`. Its file names who holds it and
    is gone at the end of the block, and so is a folder that was made for it and stayed empty. Raises
    UserError where another process still holds the output after `wait_seconds`, or where the disk offers no
    locks.
    """
    file = lock_file(output, beside=beside)
    there = file.parent.is_dir()
    until = time.monotonic() + wait_seconds
    while (descriptor := _take(file, output)) is None:
        if time.monotonic() >= until:
            raise UserError(
                f"{output}: another run is at work here ({holder(output, beside=beside) or 'unknown'}); "
                "wait for its end, or choose another folder with -o"
            )
        time.sleep(_LOOK_SECONDS)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)
        if not there:
            with contextlib.suppress(OSError):
                file.parent.rmdir()


def _take(file: Path, output: Path) -> int | None:
    """The descriptor of the locked file; None where another process holds it."""
    gone = 0
    while True:
        try:
            make_folder(file.parent)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, FILE)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and (gone := gone + 1) < _MOST_TIMES_GONE:
                continue  # another run took its empty folder away in between
            raise UserError(
                f"{output}: cannot be written ({error.strerror}); choose another place with -o"
            ) from error
        try:
            if hold(file, descriptor):
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise UserError(
                f"{output}: the disk offers no file locks ({error.strerror}), so two runs could not be kept "
                "apart; choose a folder on another disk with -o"
            ) from error


def holder(output: Path, *, beside: bool = False) -> str:
    """`process 123 on HOST`: who holds the output, or held it when it was killed; empty where nobody does."""
    with contextlib.suppress(OSError):
        return lock_file(output, beside=beside).read_text(encoding="utf-8").strip()
    return ""
