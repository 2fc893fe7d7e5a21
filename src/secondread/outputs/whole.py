"""A file or folder that is there whole or not at all, and for its owner alone.

What is under way lies under a name of its own, `.NAME.PID-TOKEN.writing`, and is locked by whoever writes it.
So a leftover of a killed process is told from the work of a living one, on whatever machine that runs:
nobody holds it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from secondread.errors import UserError
from secondread.outputs.lock import LOCK, hold
from secondread.outputs.private import FILE, FOLDER, OTHERS, make_folder, mode_of

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LONGEST_NAME = 255
"""Bytes that file systems take in one name."""
_ROOM_FOR_THE_REST = 40
_WRITING = re.compile(r"^\.(?P<name>.+)\.\d+(-[0-9a-f]+)?\.writing$", re.DOTALL)
_STALE_SECONDS = 3600.0
"""Where the disk offers no locks, leftovers are told by their age."""


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `path` at the end of the block and not before.

    Everything in it is synced before the rename. Whatever goes wrong, nothing half-written stays:
    neither `path` nor the temporary folder. A full disk raises `UserError` in one line.
    """
    path = Path(path)
    temporary, descriptor = None, -1
    try:
        make_folder(path.parent)
        temporary, descriptor = _begun(path, folder=True)
        yield temporary
        for file in temporary.rglob("*"):
            file.chmod(file.stat().st_mode & 0o777 & ~OTHERS)
            sync(file)
        sync(temporary)
        temporary.rename(path)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
            os.close(descriptor)


@contextmanager
def whole_file(
    path: Path, *, synced: bool = True, within: Path | None = None, name: Callable[[], str] | None = None
) -> Iterator[BinaryIO]:
    """A file to write into, which becomes `path`, or replaces it, at the end of the block and not before.

    synced  without it a power failure (not a kill) may leave the file empty or cut
    within  another folder of the same disk where the temporary file lies
    name    asked at the end of the block for the file's name beside `path`, in place of that of `path`

    A file that is replaced keeps its permissions. Raises OSError.
    """
    path = Path(path)
    for folder in (path.parent, within or path.parent):
        make_folder(folder)
    temporary, descriptor = _begun(path, folder=False, within=within)
    try:
        with open(temporary, "wb", opener=lambda path, flags: descriptor) as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
            temporary.replace(path if name is None else path.with_name(name()))
        if synced:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, sync it, rename it. A full disk raises `UserError`."""
    with whole_output(path) as file:
        file.write(data)


@contextmanager
def whole_output(path: Path) -> Iterator[BinaryIO]:
    """`whole_file` for an output that is written piece by piece. A disk that refuses raises `UserError`."""
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from error


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, whole, with its content from the first moment on. Raises
    FileExistsError where it is there, another OSError where it cannot be written."""
    path = Path(path)
    make_folder(path.parent)
    temporary, descriptor = _begun(path, folder=False)
    try:
        with open(temporary, "wb", opener=lambda path, flags: descriptor) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            _become(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _become(temporary: Path, path: Path) -> None:
    """Give the temporary file its name, unless that is taken (FileExistsError)."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE))
        temporary.replace(path)


def _begun(path: Path, *, folder: bool, within: Path | None = None) -> tuple[Path, int]:
    """A new temporary file or folder for `path`, and its descriptor, which is locked where locks exist."""
    while True:
        name = f".{_short(path.name)}.{os.getpid()}-{secrets.token_hex(4)}.writing"
        temporary = (within or path.parent) / name
        if folder:
            temporary.mkdir(FOLDER)
            descriptor = os.open(temporary, os.O_RDONLY)
        else:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode_of(path))
        try:
            if hold(temporary, descriptor):
                return temporary, descriptor
        except BlockingIOError:
            pass  # whoever clears leftovers has just taken it for one
        except OSError:
            return temporary, descriptor
        os.close(descriptor)


def _short(name: str) -> str:
    """The name, or what stands for one that leaves no room for more."""
    data = os.fsencode(name)
    if len(data) <= LONGEST_NAME - _ROOM_FOR_THE_REST:
        return name
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def remove_folder(path: Path) -> None:
    """Remove a folder so that it is gone at once: what a killed process leaves of it is a leftover."""
    temporary = path.parent / f".{_short(path.name)}.{os.getpid()}-{secrets.token_hex(4)}.writing"
    with contextlib.suppress(FileNotFoundError):
        path.rename(temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def clear_leftovers(*outputs: Path) -> None:
    """Remove what killed processes left half written, beside each output and, where it is a folder, in it.
    What another process is writing now stays."""
    for output in outputs:
        with contextlib.suppress(OSError):
            for path in output.parent.iterdir():
                found = _WRITING.match(path.name)
                if found and found["name"] == _short(output.name):
                    remove_unheld(path)
        for folder, folders, files in os.walk(output):
            for name in [*folders, *files]:
                path = Path(folder, name)
                of_a_run = name.startswith(".") and name.endswith(LOCK) and path != output / LOCK
                if _WRITING.match(name) or of_a_run:
                    remove_unheld(path)


def remove_unheld(path: Path) -> None:
    """Remove a temporary file or folder that no living process holds."""
    folder = path.is_dir() and not path.is_symlink()
    try:
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    except OSError:
        return
    try:
        if _left_behind(path, descriptor):
            if folder:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _left_behind(path: Path, descriptor: int) -> bool:
    """Whether nobody holds it; from then on this process does. Raises OSError where it is gone."""
    try:
        return hold(path, descriptor)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime > _STALE_SECONDS


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
