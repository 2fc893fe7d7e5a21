"""Work on files in processes that may hang, die or grow without harm to the rest."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from secondread.images.workers.messages import LONGEST_HEAD, Messages
from secondread.images.workers.outcome import Done, Failed, Result
from secondread.images.workers.pool import Pool
from secondread.images.workers.process import MEMORY_BYTES, Start
from secondread.images.workers.worker import call

Item = TypeVar("Item")
_AHEAD_PER_WORKER = 4


def map_in_workers(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    timeout_s: float = 60.0,
    memory_bytes: int = MEMORY_BYTES,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    ahead: int | None = None,
    most_bytes: int | None = None,
) -> Iterator[Done[Result] | Failed]:
    """`function(item)` for each item, in the items' order, in `workers` processes of their own.

    A worker that takes longer than `timeout_s` for one item is killed, one whose address space would pass
    `memory_bytes` gets a MemoryError, and one that dies is replaced: each costs its item (Failed), never the
    rest. One that dies while it starts, or is killed from outside, costs nothing at first: its item is tried
    again. At most `ahead` results (four per worker) wait for the caller while workers go on in the
    background. Closing the iterator, Ctrl-C and the end of this process end the workers.

    `function`, `initializer` and the items are pickled, so the functions must be at the top level of a module
    that can be imported; `__main__` is not imported again. What `function` returns travels as its annotation
    says (see `messages`), for a worker is not trusted once it has read a file: an answer of another type, or
    longer than `most_bytes` (none = `memory_bytes`, and a few MiB where the type holds no arrays), ends it
    and costs its item. An exception other than ImageError becomes an ImageError with its type and message.

    With `workers=0` everything runs here, without limits. Raises ValueError where a function cannot be sent
    to another process or says no type that can come back, and UserError where workers cannot start.
    """
    if workers <= 0:
        Messages.of(function)
        return _map_here(function, items, initializer, initargs)
    return _consume(
        make_pool(
            function, items, workers=workers, timeout_s=timeout_s, memory_bytes=memory_bytes,
            initializer=initializer, initargs=initargs, ahead=ahead, most_bytes=most_bytes,
        )
    )  # fmt: skip


def make_pool(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    timeout_s: float,
    memory_bytes: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    ahead: int | None = None,
    most_bytes: int | None = None,
) -> Pool:
    """What `map_in_workers` runs, for whoever starts it some time before the first result is wanted, and
    closes it."""
    messages = Messages.of(function)
    for sent in (function, initializer):
        home = getattr(sent, "__module__", "")
        if sent is not None and home == "__main__" and not hasattr(sent, "func"):
            raise ValueError(f"{sent!r} lives in __main__: move it into a module that workers can import")
    task = pickle.dumps((function, initializer, initargs), protocol=5)
    look_ahead = max(workers, ahead if ahead is not None else _AHEAD_PER_WORKER * workers)
    longest = LONGEST_HEAD + 64
    if messages.holds_arrays:
        longest += memory_bytes if most_bytes is None else most_bytes
    start = Start(task, memory_bytes, longest)
    return Pool(start, messages, iter(items), workers, timeout_s, look_ahead)


def call_in_worker(
    function: Callable[[Item], Result],
    item: Item,
    *,
    workers: int = 1,
    timeout_s: float = 60.0,
    memory_bytes: int = MEMORY_BYTES,
) -> Result:
    """`function(item)` in a process of its own (with `workers=0` here), as `map_in_workers` does it.

    Raises ImageError where the item gives no value, and UserError where no worker can start.
    """
    results = map_in_workers(
        function, [item], workers=min(workers, 1), timeout_s=timeout_s, memory_bytes=memory_bytes
    )
    (result,) = results
    if isinstance(result, Failed):
        raise result.error
    return result.value


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


def _consume(pool: Pool) -> Iterator[Any]:
    try:
        pool.start()
        yield from pool.results()
    finally:
        pool.close()
