"""What runs inside a worker process: limits first, then one item after the other."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from secondread.images.image import ImageError

# Workers are the parallelism, so that each library keeps to one thread; few arenas keep the address space
# small.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer items from the socket given by number on the command line until it closes."""
    descriptor, parent, memory_bytes = (int(argument) for argument in sys.argv[1:4])
    _limit_memory(memory_bytes)
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Connection(descriptor)
    with contextlib.suppress(EOFError, OSError):
        _serve(link)


def _serve(link: Connection) -> None:
    task = link.recv_bytes()
    try:
        function, initializer, initargs = pickle.loads(task)
        if initializer is not None:
            initializer(*initargs)
    except BaseException as error:
        link.send_bytes(pickle.dumps(f"{type(error).__name__}: {error}"))
        return
    link.send_bytes(pickle.dumps(None))
    while True:
        item = pickle.loads(link.recv_bytes())
        answer = call(function, item)
        try:
            packed = pickle.dumps(answer, protocol=5)
        except Exception as error:
            told = ImageError(name_of(item), f"the result cannot be sent ({type(error).__name__}: {error})")
            packed = pickle.dumps((told, None))
        del answer
        link.send_bytes(packed)


def call(function: Callable[[Any], Any], item: Any) -> tuple[ImageError | None, Any]:
    """`(None, function(item))`, or the error as an ImageError and None."""
    try:
        return None, function(item)
    except ImageError as error:
        return error, None
    except MemoryError:
        return ImageError(name_of(item), "needs more memory than is allowed"), None
    except RecursionError:
        return ImageError(name_of(item), "nested too deeply to be read"), None
    except Exception as error:
        return ImageError(name_of(item), f"{type(error).__name__}: {error}"), None


def name_of(item: Any) -> str:
    """What an error calls an item: itself, its `path`, or a tuple's first element."""
    if isinstance(item, tuple) and item:
        item = item[0]
    named = getattr(item, "path", None)
    return str(named if isinstance(named, (str, os.PathLike)) else item)[:500]


def end_of_item(status: int) -> str:
    """Why a worker is gone, told from its exit status."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"its decoding process was ended by {signal.Signals(-status).name}"
    return f"its decoding process ended with status {status}"


def _limit_memory(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        _, hard = resource.getrlimit(kind)
        allowed = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (allowed, hard))


def end_with(parent: int) -> None:
    """End this process when the one that started it is gone.

    Linux does it by a signal, even while a decoder hangs (the signal is bound to the parent's thread that
    started this process, the pool's own, which lives as long as its workers); elsewhere a thread looks every
    second.
    """
    with contextlib.suppress(Exception):
        import ctypes

        if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
            if os.getppid() != parent:
                os._exit(1)
            return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
