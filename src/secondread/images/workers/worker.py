"""What runs inside a worker process: limits first, then one item after the other."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from secondread.images.image import ImageError
from secondread.images.refusal import refusing
from secondread.images.workers.link import receive_waiting, send_waiting
from secondread.images.workers.message_values import BadMessage
from secondread.images.workers.messages import Messages, write_error
from secondread.terminal.end_with import end_with
from secondread.terminal.importing import importing

# Workers are the parallelism, so that each library keeps to one thread; few arenas keep the address space
# small.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
LEFT_OUT = ("requests", "tqdm")
"""What pydicom imports to fetch files for its own tests, for a quarter of the time that its import takes.
Nothing is fetched here."""
STARTED = -1
"""What stands in place of an item's number in a worker's first message."""


def main() -> None:
    """Answer items from the socket given by number on the command line until it closes. Modules that it names
    are imported before."""
    descriptor, parent, memory_bytes = (int(argument) for argument in sys.argv[1:4])
    _limit_memory(memory_bytes)
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in LEFT_OUT:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # its import fails, as if it were absent
    with importing():
        for module in sys.argv[4:]:
            with contextlib.suppress(Exception):  # whoever needs it says why it cannot be imported
                import_module(module)
    with socket.socket(fileno=descriptor) as end, contextlib.suppress(EOFError, OSError):
        _serve(end)


def _serve(end: socket.socket) -> None:
    task = receive_waiting(end)
    try:
        function, initializer, initargs = pickle.loads(task)
        if initializer is not None:
            initializer(*initargs)
        messages = Messages.of(function)
    except BaseException as error:
        told = ImageError("", f"{type(error).__name__}: {error}")
        send_waiting(end, write_error(STARTED, told))
        return
    send_waiting(end, Messages(None).write(STARTED, None))
    while True:
        index, item = pickle.loads(receive_waiting(end))
        try:
            failure, value = call(function, item)
        except SystemExit:
            failure, value = ImageError(name_of(item), "its decoder asked the process to end"), None
        if failure is None:
            try:
                parts = messages.write(index, value)
            except (BadMessage, MemoryError) as error:
                failure = ImageError(name_of(item), f"the result cannot be sent ({error})")
        if failure is not None:
            parts = write_error(index, failure)
        del value
        send_waiting(end, parts)
        del parts


def call(function: Callable[[Any], Any], item: Any) -> tuple[ImageError | None, Any]:
    """`(None, function(item))`, or the error as an ImageError and None."""
    try:
        with refusing(name_of(item), what=""):
            return None, function(item)
    except ImageError as error:
        return error, None


def name_of(item: Any) -> str:
    """What an error calls an item: itself, its `path`, or a tuple's first element."""
    if isinstance(item, tuple) and item:
        item = item[0]
    named = getattr(item, "path", None)
    return str(named if isinstance(named, (str, os.PathLike)) else item)[:500]


def end_of_item(status: int | None) -> str:
    """Why a worker is gone, told from its exit status; None where it closed its socket and went on."""
    if status is None:
        return "its decoding process fell silent and was ended"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"its decoding process was ended by {signal.Signals(-status).name}"
    return f"its decoding process ended with status {status} before it answered"


def _limit_memory(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        _, hard = resource.getrlimit(kind)
        allowed = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (allowed, hard))
