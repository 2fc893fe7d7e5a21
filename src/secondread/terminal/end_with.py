"""A process that ends with the one that started it. Nothing is imported that takes time, so that it can be
asked for before anything else."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


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
