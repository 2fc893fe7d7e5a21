"""Work on files in processes that may hang, die or grow without harm to the rest."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing.connection as connection
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from secondread.images.image import ImageError
from secondread.images.worker import ENVIRONMENT, call, end_of_item, name_of

Item = TypeVar("Item")
Result = TypeVar("Result")

_START_TIMEOUT_S = 120.0
_AHEAD_PER_WORKER = 4


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The item at `index` gave `value`."""

    index: int
    value: Result


@dataclass(frozen=True)
class Failed:
    """The item at `index` gave no value, and why."""

    index: int
    error: ImageError


def map_in_workers(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    timeout_s: float = 60.0,
    memory_bytes: int = 4 << 30,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    ahead: int | None = None,
) -> Iterator[Done[Result] | Failed]:
    """`function(item)` for each item, in the items' order, in `workers` processes of their own.

    A worker that takes longer than `timeout_s` for one item is killed, one whose address space would pass
    `memory_bytes` gets a MemoryError, and one that dies is replaced: each costs its item (Failed), never the
    rest. At most `ahead` results (four per worker) wait for the caller while workers go on in the background.
    Closing the iterator, Ctrl-C and the end of this process end the workers.

    `function`, `initializer` and the items are pickled, so the functions must be at the top level of a module
    that can be imported; `__main__` is not imported again. An exception other than ImageError becomes an
    ImageError with its type and message. With `workers=0` everything runs here, without limits. Raises
    ValueError where a function cannot be sent to another process, and RuntimeError where workers cannot
    start.
    """
    if workers <= 0:
        return _map_here(function, items, initializer, initargs)
    for sent in (function, initializer):
        home = getattr(sent, "__module__", "")
        if sent is not None and home == "__main__" and not hasattr(sent, "func"):
            raise ValueError(f"{sent!r} lives in __main__: move it into a module that workers can import")
    task = pickle.dumps((function, initializer, initargs), protocol=5)
    look_ahead = max(workers, ahead if ahead is not None else _AHEAD_PER_WORKER * workers)
    return _consume(_Pool(task, iter(items), workers, timeout_s, memory_bytes, look_ahead))


def _map_here(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    initializer: Callable[..., None] | None,
    initargs: tuple[Any, ...],
) -> Iterator[Done[Result] | Failed]:
    if initializer is not None:
        initializer(*initargs)
    for index, item in enumerate(items):
        error, value = call(function, item)
        yield Done(index, value) if error is None else Failed(index, error)


def _consume(pool: _Pool) -> Iterator[Any]:
    try:
        pool.start()
        yield from pool.results()
    finally:
        pool.close()


class _Worker:
    """One process, the socket to it, and what it is doing."""

    def __init__(self, task: bytes, memory_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        path = [os.path.abspath(entry) for entry in sys.path]
        start = f"import sys; sys.path[:] = {path!r}; from secondread.images.worker import main; main()"
        environment = dict(os.environ, **ENVIRONMENT)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", start, str(theirs.fileno()), str(os.getpid()), str(memory_bytes)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )
        self.link = connection.Connection(ours.detach())
        self.ready = False
        self.index: int | None = None
        self.item: Any = None
        self.deadline = time.monotonic() + _START_TIMEOUT_S
        self.link.send_bytes(task)

    def give(self, index: int, item: Any, timeout_s: float) -> None:
        self.index, self.item = index, item
        self.deadline = time.monotonic() + timeout_s
        with contextlib.suppress(OSError):
            self.link.send_bytes(pickle.dumps(item, protocol=5))

    def kill(self) -> int:
        """End the process and return its exit status (negative: the signal that ended it by itself)."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2 if self.link.closed else 0.0)
        status = self.process.poll()
        if status is None:
            self.process.kill()
            self.process.wait()
        self.link.close()
        return status if status is not None else 0


class _Pool:
    """A thread that keeps workers busy and puts their results, in order, where the caller takes them."""

    def __init__(
        self, task: bytes, items: Iterator[Any], workers: int, timeout_s: float, memory_bytes: int, ahead: int
    ) -> None:
        self.task, self.items, self.count = task, items, workers
        self.timeout_s, self.memory_bytes, self.ahead = timeout_s, memory_bytes, ahead
        self.workers: list[_Worker] = []
        self.finished: dict[int, Done[Any] | Failed] = {}
        self.given = 0
        self.taken = 0
        self.exhausted = False
        self.trouble: BaseException | None = None
        self.stopping = False
        self.changed = threading.Condition()
        self.wake_here, self.wake_there = socket.socketpair()
        self.wake_there.setblocking(False)
        self.thread = threading.Thread(target=self._run, name="image-workers", daemon=True)

    def start(self) -> None:
        _pools.add(self)
        self.thread.start()

    def close(self) -> None:
        self.stopping = True
        self._wake()
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
            self._wake()
            yield result
        if self.trouble is not None:
            raise self.trouble

    def _ended(self) -> bool:
        return self.trouble is not None or (self.exhausted and self.taken >= self.given)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self.wake_there.send(b"\0")

    def _run(self) -> None:
        try:
            while not self.stopping:
                self._feed()
                busy = [worker for worker in self.workers if worker.index is not None or not worker.ready]
                if self.exhausted and not any(worker.index is not None for worker in busy):
                    break
                self._await(busy)
        except BaseException as error:
            self.trouble = error
        finally:
            for worker in self.workers:
                worker.kill()
            with self.changed:
                self.exhausted = True
                self.changed.notify_all()

    def _feed(self) -> None:
        """Give an item to every free worker while the look-ahead has room; start workers as needed."""
        while not self.exhausted and self.given - self.taken < self.ahead:
            free = next((worker for worker in self.workers if worker.index is None), None)
            if free is None and len(self.workers) >= self.count:
                return
            try:
                item = next(self.items)
            except StopIteration:
                with self.changed:
                    self.exhausted = True
                    self.changed.notify_all()
                return
            if free is None:
                free = _Worker(self.task, self.memory_bytes)
                self.workers.append(free)
            free.give(self.given, item, self.timeout_s if free.ready else _START_TIMEOUT_S)
            self.given += 1

    def _await(self, busy: list[_Worker]) -> None:
        deadline = min((worker.deadline for worker in busy), default=time.monotonic() + 60.0)
        links = {worker.link: worker for worker in busy}
        for found in connection.wait([*links, self.wake_here], max(0.0, deadline - time.monotonic())):
            if found is self.wake_here:
                self.wake_here.recv(4096)
            else:
                self._receive(links[found])  # type: ignore[index]
        now = time.monotonic()
        for worker in busy:
            if worker in self.workers and worker.deadline <= now:
                self._lost(worker, f"no answer within {self.timeout_s:g} s, so its process was ended")

    def _receive(self, worker: _Worker) -> None:
        try:
            message = worker.link.recv_bytes()
        except (EOFError, OSError):
            worker.link.close()
            self._lost(worker, "")
            return
        if not worker.ready:
            told = pickle.loads(message)
            if told is not None:
                raise RuntimeError(f"a worker process could not start: {told}")
            worker.ready = True
            worker.deadline = time.monotonic() + self.timeout_s
            return
        error, value = pickle.loads(message)
        index, worker.index, worker.item = worker.index, None, None
        assert index is not None
        self._finish(index, Done(index, value) if error is None else Failed(index, error))

    def _lost(self, worker: _Worker, why: str) -> None:
        status = worker.kill()
        self.workers.remove(worker)
        if not worker.ready:
            raise RuntimeError(
                f"a worker process ended before it could start ({why or f'exit status {status}'})"
            )
        if worker.index is not None:
            why = why or end_of_item(status)
            name = name_of(worker.item)
            self._finish(worker.index, Failed(worker.index, ImageError(name, why, "the other files go on")))

    def _finish(self, index: int, result: Done[Any] | Failed) -> None:
        with self.changed:
            self.finished[index] = result
            self.changed.notify_all()


_pools: weakref.WeakSet[_Pool] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for pool in list(_pools):
        pool.stopping = True
        for worker in list(pool.workers):
            with contextlib.suppress(OSError):
                worker.process.kill()
