"""Functions that worker processes run in the pool's tests."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import ImageError
from secondread.images.workers.messages import Messages

_prepared = 0


def prepare(value: int) -> None:
    global _prepared
    _prepared = value


def whose(item: int) -> int:
    """The process that answers; it takes long enough for another one to get the next item."""
    time.sleep(0.2)
    return os.getpid()


def act(item: object) -> NDArray[np.int64] | str | float | bool | None:
    """Do what the item says; a number is doubled."""
    if item == "hang":
        while True:
            pass
    if item == "exit":
        os._exit(3)
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "grow":
        return len(bytearray(1 << 40))
    if item == "grow by array":
        return float(np.ones((1 << 31,)).sum())
    if item == "refuse":
        raise ImageError("some.dcm", "is bad", "mend it")
    if item == "raise":
        raise ValueError("two\nlines")
    if item == "prepared":
        return _prepared
    if item == "torch":
        return "torch" in sys.modules
    if item == "pydicom":
        from pydicom.data import download

        return download.HAVE_REQUESTS
    if item == "array":
        return np.arange(3_000_000)
    if item == "unsendable":
        return lambda: None
    if item == "noise":
        os.write(2, b"noise\n")
        return None
    assert isinstance(item, int)
    return 2 * item


def process(item: object) -> int:
    time.sleep(0.02)
    return os.getpid()


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def marked(item: tuple[int, str]) -> int:
    number, folder = item
    Path(folder, str(number)).touch()
    return number


def mark_and_hang(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    while True:
        pass


def taken_over(item: object) -> int:
    """A decoder that a file has taken over: it answers on the socket itself, before the worker does."""
    if isinstance(item, int):
        return 2 * item
    what, folder = item  # type: ignore[misc]
    messages = {
        "pickle": pickle.dumps((None, _Runs(str(folder)))),
        "pickle of a path": pickle.dumps(_Runs(str(folder)), protocol=0),
        "another type": b"".join(bytes(part) for part in Messages(str).write(1, "text")),
        "another item": b"".join(bytes(part) for part in Messages(int).write(2, 666)),
        "nothing": b"",
    }
    sent = messages.get(what, b"")
    length = {"too long": 1 << 40, "half": 1000}.get(what, len(sent))
    descriptor = int(sys.argv[1])
    if what == "closes":
        os.close(descriptor)
    else:
        with socket.socket(fileno=os.dup(descriptor)) as end:
            end.sendall(length.to_bytes(8, "little") + sent)
    while True:
        time.sleep(1)


class _Runs:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path(self.folder, "run"),))


def end_early(folder: str) -> None:
    """An initializer that is killed, as if memory were short, until it has been tried three times."""
    tried = len(list(Path(folder).iterdir()))
    Path(folder, str(tried)).touch()
    if tried < 2:
        os.kill(os.getpid(), signal.SIGKILL)


def end_always(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(item: tuple[int, str]) -> int:
    """Killed from outside at its first try."""
    number, folder = item
    mark = Path(folder, str(number))
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def panic(item: str) -> None:
    """As a decoder written in Rust does, whose panic is no Exception; or one that ends the process."""

    class PanicException(BaseException):
        pass

    if item == "leave":
        sys.exit(0)
    if item == "leave at once":
        os._exit(0)
    raise PanicException("called `Option::unwrap()` on a `None` value")
