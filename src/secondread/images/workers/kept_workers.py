"""Worker processes that stay between calls, so that a file costs no start of a process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from threading import Lock
from typing import Any, Generic, TypeVar

from secondread.images.workers.map_in_workers import make_pool
from secondread.images.workers.outcome import Done, Failed, Result
from secondread.images.workers.pool import NOT_YET, Pool
from secondread.images.workers.process import MEMORY_BYTES

Item = TypeVar("Item")


class KeptWorkers(Generic[Item, Result]):
    """`map_in_workers` for one function and many calls, one after the other: its processes start with the
    first item and stay until `close`. Its promises are those of `map_in_workers`."""

    def __init__(
        self,
        function: Callable[[Item], Result],
        *,
        workers: int = 1,
        timeout_s: float = 60.0,
        memory_bytes: int = MEMORY_BYTES,
        most_bytes: int | None = None,
    ) -> None:
        self._make = lambda items: make_pool(
            function, items, workers=workers, timeout_s=timeout_s, memory_bytes=memory_bytes,
            most_bytes=most_bytes,
        )  # fmt: skip
        self._lock = Lock()
        self._waiting: deque[Item] = deque()
        self._given = 0
        self._pool: Pool | None = None
        self._results: Iterator[Done[Any] | Failed] = iter(())

    def map(self, items: Iterable[Item]) -> Iterator[Done[Result] | Failed]:
        """A result for each item, in order. Where the caller stops before the last one, items that no worker
        has begun are dropped, and the next call waits for those that one has."""
        listed = list(items)
        pool = self._ready()
        with self._lock:
            self._waiting.extend(listed)
        pool.wake()
        done = False
        try:
            for index in range(len(listed)):
                yield replace(next(self._results), index=index)
            done = True
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException:
            self.close()
            raise
        finally:
            if not done:
                with self._lock:
                    self._waiting.clear()

    def close(self) -> None:
        """End the processes; the next `map` would start others."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _ready(self) -> Pool:
        """The pool, which owes no result of an earlier call."""
        if self._pool is None:
            self._given = 0
            self._pool = self._make(self._items())
            self._pool.start()
            self._results = self._pool.results()
        try:
            while self._pool.taken < self._given:
                next(self._results)
        except BaseException:
            self.close()
            raise
        return self._pool

    def _items(self) -> Iterator[Any]:
        while True:
            with self._lock:
                item = self._waiting.popleft() if self._waiting else NOT_YET
                self._given += item is not NOT_YET
            yield item
