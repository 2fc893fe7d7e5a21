"""Worker processes kept busy: items are given out, answers taken, and processes that hang or die replaced."""

from __future__ import annotations

import atexit
import contextlib
import select
import signal
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from secondread.errors import UserError
from secondread.images.image import ImageError
from secondread.images.workers.link import TooLong
from secondread.images.workers.message_values import BadMessage
from secondread.images.workers.messages import Messages
from secondread.images.workers.outcome import Done, Failed
from secondread.images.workers.process import START_TIMEOUT_S, Start, Starting, WorkerProcess
from secondread.images.workers.worker import STARTED, end_of_item, name_of

_GRACE_S = 1.0
NOT_YET: Any = object()
"""From an iterator of items that has none at the moment; `wake` has it asked again."""


@dataclass
class Pool:
    """A thread that keeps workers busy and puts their results, in order, where the caller takes them.

    again   items of workers that ended before they began, or were killed from outside
    killed  items that were given again for the latter reason; not twice
    """

    begin: Start
    messages: Messages
    items: Iterator[Any]
    count: int
    timeout_s: float
    ahead: int
    workers: list[WorkerProcess] = field(default_factory=list)
    again: deque[tuple[int, Any]] = field(default_factory=deque)
    killed: set[int] = field(default_factory=set)
    starting: Starting = field(default_factory=Starting)
    finished: dict[int, Done[Any] | Failed] = field(default_factory=dict)
    given: int = 0
    taken: int = 0
    exhausted: bool = False
    trouble: BaseException | None = None
    stopping: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        self.wake_here, self.wake_there = socket.socketpair()
        self.wake_there.setblocking(False)
        self.thread = threading.Thread(target=self._run, name="image-workers", daemon=True)

    def start(self) -> None:
        _pools.add(self)
        self.thread.start()

    def close(self) -> None:
        self.stopping = True
        self.wake()
        if self.thread.ident is not None:
            self.thread.join()
        for end in (self.wake_here, self.wake_there):
            end.close()
        _pools.discard(self)

    def results(self) -> Iterator[Done[Any] | Failed]:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.taken in self.finished or self._ended())
                if self.taken not in self.finished:
                    break
                result = self.finished.pop(self.taken)
                self.taken += 1
            self.wake()
            yield result
        if self.trouble is not None:
            raise self.trouble

    def _ended(self) -> bool:
        return self.trouble is not None or (self.exhausted and self.taken >= self.given)

    def wake(self) -> None:
        with contextlib.suppress(OSError):
            self.wake_there.send(b"\0")

    def _run(self) -> None:
        try:
            while not self.stopping:
                self._feed()
                busy = [worker for worker in self.workers if worker.index is not None or not worker.ready]
                at_work = self.again or any(worker.index is not None for worker in busy)
                if self.exhausted and not at_work:
                    break
                self._await(busy)
        except BaseException as error:
            self.trouble = error
        finally:
            for worker in self.workers:
                worker.end()
            with self.changed:
                self.exhausted = True
                self.changed.notify_all()

    def _feed(self) -> None:
        """Give an item to every free worker while the look-ahead has room; start workers as needed."""
        while self.again or (not self.exhausted and self.given - self.taken < self.ahead):
            free = next((worker for worker in self.workers if worker.index is None), None)
            if free is None and (len(self.workers) >= self.count or not self._may_start()):
                return
            if not self.again:
                try:
                    item = next(self.items)
                except StopIteration:
                    with self.changed:
                        self.exhausted = True
                        self.changed.notify_all()
                    return
                if item is NOT_YET:
                    return
                self.again.append((self.given, item))
                self.given += 1
            if free is None:
                try:
                    free = WorkerProcess(self.begin)
                except (OSError, MemoryError) as error:
                    self._no_start(str(error) or type(error).__name__)
                    return
                self.workers.append(free)
            free.give(*self.again.popleft(), self.timeout_s if free.ready else START_TIMEOUT_S)

    def _may_start(self) -> bool:
        return time.monotonic() >= self.starting.not_before

    def _no_start(self, why: str) -> None:
        """Go on with the workers that there are, or try again after a pause."""
        if any(worker.ready for worker in self.workers):
            self.count = len(self.workers)
        else:
            self.starting.failed(why)

    def _await(self, busy: list[WorkerProcess]) -> None:
        """Wait for answers, for room, or for the next time that something is due."""
        now = time.monotonic()
        due = [worker.deadline for worker in busy] + [self.starting.not_before]
        wait_s = min((moment - now for moment in due if moment > now), default=60.0)
        if any(worker.deadline <= now for worker in busy):
            wait_s = 0.0
        poll = select.poll()
        poll.register(self.wake_here, select.POLLIN)
        links = {worker.link.fileno(): worker for worker in busy}
        for number, worker in links.items():
            poll.register(number, select.POLLIN | (select.POLLOUT if worker.link.has_more_to_send else 0))
        for number, event in poll.poll(1000 * wait_s):
            if number == self.wake_here.fileno():
                self.wake_here.recv(4096)
                continue
            worker = links[number]
            if event & select.POLLOUT:
                with contextlib.suppress(OSError):
                    worker.link.go_on()
            if event & ~select.POLLOUT:
                self._receive(worker)
        now = time.monotonic()
        for worker in busy:
            if worker in self.workers and worker.index is not None and worker.deadline <= now:
                allowed = self.timeout_s if worker.ready else START_TIMEOUT_S
                self._lost(worker, f"no answer within {allowed:g} s, so its process was ended")

    def _receive(self, worker: WorkerProcess) -> None:
        try:
            message = worker.link.receive()
            if message is None:
                return
            answer = self.messages.read(message) if worker.ready else _STARTING.read(message)
            if answer.item != (worker.index if worker.ready else STARTED):
                raise BadMessage("an answer to a question that was not asked")
        except (EOFError, OSError):
            self._lost(worker)
            return
        except (TooLong, BadMessage) as error:
            self._lost(worker, f"its decoding process sent no valid answer ({error}) and was ended")
            return
        if not worker.ready:
            if answer.error is not None:
                raise UserError(f"a worker process could not start: {answer.error.problem}")
            worker.ready = True
            self.starting.failures = 0
            worker.deadline = time.monotonic() + self.timeout_s
            return
        assert worker.index is not None
        index, worker.index, worker.item = worker.index, None, None
        self._finish(Done(index, answer.value) if answer.error is None else Failed(index, answer.error))

    def _lost(self, worker: WorkerProcess, why: str = "") -> None:
        """A worker is gone, or is ended here for a reason: its item fails, or is tried again."""
        status = worker.end(0.0 if why else _GRACE_S)
        self.workers.remove(worker)
        if worker.index is None:
            pass
        elif not worker.ready:
            self.again.appendleft((worker.index, worker.item))
        elif not why and status == -signal.SIGKILL and worker.index not in self.killed:
            # No decoder does that: the system, short of memory, or a person.
            self.killed.add(worker.index)
            self.again.appendleft((worker.index, worker.item))
        else:
            name = name_of(worker.item)
            why = why or end_of_item(status)
            self._finish(Failed(worker.index, ImageError(name, why, "the other files go on")))
        if not worker.ready:
            self._no_start(why or end_of_item(status))

    def _finish(self, result: Done[Any] | Failed) -> None:
        with self.changed:
            self.finished[result.index] = result
            self.changed.notify_all()


_STARTING = Messages(None)
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for pool in list(_pools):
        pool.stopping = True
        for worker in list(pool.workers):
            with contextlib.suppress(OSError):
                worker.process.kill()
