"""Whether a computation is being written down as a graph, so that what only torch has gives way to plain
operations: fused calls, kernels of one's own, sizes that follow from the values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WRITTEN: ContextVar[bool] = ContextVar("written as a graph", default=False)


def written_as_graph() -> bool:
    """True within `writing_a_graph`."""
    return _WRITTEN.get()


@contextmanager
def writing_a_graph() -> Iterator[None]:
    """Within it every module takes its plain form, whose numbers agree to rounding."""
    token = _WRITTEN.set(True)
    try:
        yield
    finally:
        _WRITTEN.reset(token)
