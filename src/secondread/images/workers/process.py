"""A process that works on items, as the one that started it sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from secondread.errors import UserError
from secondread.images.workers.link import Link
from secondread.images.workers.worker import ENVIRONMENT

START_TIMEOUT_S = 120.0
_STARTS = 4
_PAUSE_S = 0.25


@dataclass(frozen=True)
class Start:
    """What each worker begins with: its task as sent, its limit of memory, the longest answer it may give."""

    task: bytes
    memory_bytes: int
    longest: int


class WorkerProcess:
    """One process, the socket to it, and what it is doing."""

    def __init__(self, start: Start) -> None:
        ours, theirs = socket.socketpair()
        path = [os.path.abspath(entry) for entry in sys.path]
        code = (
            f"import sys; sys.path[:] = {path!r}; from secondread.images.workers.worker import main; main()"
        )
        arguments = (theirs.fileno(), os.getpid(), start.memory_bytes)
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", code, *map(str, arguments)],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    env=dict(os.environ, **ENVIRONMENT),
                )
            except BaseException:
                ours.close()
                raise
        self.link = Link(ours, start.longest)
        self.ready = False
        self.index: int | None = None
        self.item: Any = None
        self.deadline = time.monotonic() + START_TIMEOUT_S
        self.send(start.task)

    def give(self, index: int, item: Any, timeout_s: float) -> None:
        self.index, self.item = index, item
        self.deadline = time.monotonic() + timeout_s
        self.send(pickle.dumps((index, item), protocol=5))

    def send(self, message: bytes) -> None:
        # Where nobody listens any more, reading says so.
        with contextlib.suppress(OSError):
            self.link.send(message)

    def end(self, grace_s: float = 0.0) -> int | None:
        """End the process. Its exit status where it ended by itself (negative: by that signal), else None."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        status = self.process.poll()
        if status is None:
            self.process.kill()
            self.process.wait()
        self.link.close()
        return status


@dataclass
class Starting:
    """How starting goes: failures in a row, and when the next may be tried."""

    failures: int = 0
    not_before: float = 0.0

    def failed(self, why: str) -> None:
        """Wait longer each time. Raises UserError after `_STARTS`."""
        self.failures += 1
        if self.failures >= _STARTS:
            raise UserError(
                f"no worker process can start, {self.failures} times in a row ({why}): "
                "free memory, or give fewer --workers"
            )
        self.not_before = time.monotonic() + _PAUSE_S * 2**self.failures
