"""A process that works on items, as the one that started it sees it."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondread.errors import UserError
from secondread.images.workers.link import Link
from secondread.images.workers.worker import ENVIRONMENT

MEMORY_BYTES = 4 << 30
"""Address space of a worker, where nothing else is said."""
START_TIMEOUT_S = 120.0
QUICK_S = 0.02
"""Where an answer took less than this, the next items are sent before it is known."""
MOST_ASKED = 4
"""Items that a quick process has at once, so that it need not wait for its next one."""
_STARTS = 4
_PAUSE_S = 0.25


@dataclass(frozen=True)
class Start:
    """What each worker begins with: its task as sent, its limit of memory, the longest answer it may give."""

    task: bytes
    memory_bytes: int
    longest: int


_early: deque[tuple[subprocess.Popen[bytes], socket.socket]] = deque()


def start_early(count: int, modules: Sequence[str]) -> None:
    """Have `count` processes that wait for their task and import `modules`, while this one imports other
    things. Its pools take them in place of new ones; those that none took end with it."""
    for _ in range(count - len(_early)):
        with contextlib.suppress(OSError, MemoryError):  # then a pool says so, or goes without
            _early.append(_started(MEMORY_BYTES, modules))


def _taken_early(memory_bytes: int) -> tuple[subprocess.Popen[bytes], socket.socket] | None:
    """One of them that is still there, where its limit is the one that is wanted."""
    while memory_bytes == MEMORY_BYTES and _early:
        process, ours = _early.popleft()
        if process.poll() is None:
            return process, ours
        ours.close()
    return None


@atexit.register
def _end_early() -> None:
    while _early:
        process, ours = _early.popleft()
        ours.close()
        process.kill()
        process.wait()


def _started(memory_bytes: int, modules: Sequence[str] = ()) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A process that imports modules and waits for its task, and the socket to it."""
    ours, theirs = socket.socketpair()
    path = [os.path.abspath(entry) for entry in sys.path]
    code = f"import sys; sys.path[:] = {path!r}; from secondread.images.workers.worker import main; main()"
    arguments = (theirs.fileno(), os.getpid(), memory_bytes, *modules)
    with theirs:
        try:
            process = subprocess.Popen(
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
    return process, ours


class WorkerProcess:
    """One process, the socket to it, and the items that it has not answered, with their numbers; it works on
    the first."""

    def __init__(self, start: Start) -> None:
        self.process, ours = _taken_early(start.memory_bytes) or _started(start.memory_bytes)
        self.link = Link(ours, start.longest)
        self.ready = False
        self.asked: deque[tuple[int, Any]] = deque()
        self.deadline = time.monotonic() + START_TIMEOUT_S
        self._begun = 0.0
        self._quick = False
        self.send(start.task)

    @property
    def works_on(self) -> int | None:
        return self.asked[0][0] if self.asked else None

    @property
    def takes_more(self) -> bool:
        """Whether another item may be sent behind those that it works on."""
        return self._quick and len(self.asked) < MOST_ASKED

    def give(self, index: int, item: Any, timeout_s: float) -> None:
        self.asked.append((index, item))
        if len(self.asked) == 1:
            self._begins(timeout_s)
        self.send(pickle.dumps((index, item), protocol=5))

    def started(self, timeout_s: float) -> None:
        """It is ready, and begins with its first item."""
        self.ready = True
        self._begins(timeout_s)

    def answered(self, timeout_s: float) -> int:
        """The number of the item that it has answered; it works on the next one."""
        self._quick = time.monotonic() - self._begun < QUICK_S
        self._begins(timeout_s)
        return self.asked.popleft()[0]

    def _begins(self, timeout_s: float) -> None:
        self._begun = time.monotonic()
        self.deadline = self._begun + timeout_s

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
