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

import numpy as np
from numpy.typing import NDArray

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

    again   items of workers that ended before they began with them, or were killed from outside
    killed  items that were given again for the latter reason; not twice
    fresh   results that the caller has not been told of
    idle    whether the thread waits until the caller has taken more, or there are items again
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
    fresh: list[Done[Any] | Failed] = field(default_factory=list)
    given: int = 0
    taken: int = 0
    exhausted: bool = False
    trouble: BaseException | None = None
    stopping: bool = False
    idle: bool = False
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
            if self.idle and self.given - self.taken <= self.ahead // 2:
                self.idle = False
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
                busy = [worker for worker in self.workers if worker.asked or not worker.ready]
                if self.exhausted and not self.again and not any(worker.asked for worker in busy):
                    break
                self._await(busy)
                self._hand_over()
        except BaseException as error:
            self.trouble = error
        finally:
            for worker in self.workers:
                worker.end()
            self._hand_over()
            with self.changed:
                self.exhausted = True
                self.changed.notify_all()

    def _feed(self) -> None:
        """Give an item to every free worker while the look-ahead has room; start workers as needed; then have
        more items wait where they are worked on quickly."""
        self.idle = True  # before the look at `taken`, so that the caller wakes this thread if it takes now
        while self.again or (not self.exhausted and self.given - self.taken < self.ahead):
            free = next((worker for worker in self.workers if not worker.asked), None)
            if free is None and (len(self.workers) >= self.count or not self._may_start()):
                more = [worker for worker in self.workers if worker.takes_more]
                if not more:
                    self.idle = False
                    return
                free = min(more, key=lambda worker: len(worker.asked))
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
            if worker in self.workers and worker.asked and worker.deadline <= now:
                allowed = self.timeout_s if worker.ready else START_TIMEOUT_S
                self._lost(worker, f"no answer within {allowed:g} s, so its process was ended")

    def _receive(self, worker: WorkerProcess) -> None:
        """Whatever answers have come from a worker."""
        try:
            while (message := worker.link.receive()) is not None:
                self._read(worker, message)
        except (EOFError, OSError):
            self._lost(worker)
        except (TooLong, BadMessage) as error:
            self._lost(worker, f"its decoding process sent no valid answer ({error}) and was ended")

    def _read(self, worker: WorkerProcess, message: NDArray[np.uint8]) -> None:
        """Raises BadMessage, and UserError where the worker could not start."""
        answer = self.messages.read(message) if worker.ready else _STARTING.read(message)
        if answer.item != (worker.works_on if worker.ready else STARTED):
            raise BadMessage("an answer to a question that was not asked")
        if worker.ready:
            at = worker.answered(self.timeout_s)
            self.fresh.append(Done(at, answer.value) if answer.error is None else Failed(at, answer.error))
            return
        if answer.error is not None:
            raise UserError(f"a worker process could not start: {answer.error.problem}")
        worker.started(self.timeout_s)
        self.starting.failures = 0

    def _lost(self, worker: WorkerProcess, why: str = "") -> None:
        """A worker is gone, or is ended here for a reason: its item fails or is tried again, and those that
        waited behind it are given to another."""
        status = worker.end(0.0 if why else _GRACE_S)
        self.workers.remove(worker)
        index, item = worker.asked.popleft() if worker.asked else (None, None)
        self.again.extendleft(reversed(worker.asked))
        if index is None:
            pass  # it had nothing to do
        elif not worker.ready:
            self.again.appendleft((index, item))
        elif not why and status == -signal.SIGKILL and index not in self.killed:
            # No decoder does that: the system, short of memory, or a person.
            self.killed.add(index)
            self.again.appendleft((index, item))
        else:
            why = why or end_of_item(status)
            self.fresh.append(Failed(index, ImageError(name_of(item), why, "the other files go on")))
        if not worker.ready:
            self._no_start(why or end_of_item(status))

    def _hand_over(self) -> None:
        """Results to the caller, which is woken where its next one is among them."""
        if not self.fresh:
            return
        with self.changed:
            self.finished.update((result.index, result) for result in self.fresh)
            self.fresh.clear()
            if self.taken in self.finished:
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
