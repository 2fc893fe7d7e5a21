"""What was worked out of the same arrays before is not worked out again.

The methods of a comparison are judged on one data set, so that what its facts and thumbnails alone give away
is the same for each of them, and is what the shortcut check takes longest for.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import ParamSpec, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

MOST = 64
"""Answers that are kept for each function, the latest asked for."""

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


@runtime_checkable
class Digested(Protocol):
    """What says by itself what it holds."""

    @property
    def digest(self) -> bytes: ...


class Remembered(Protocol[P, R]):
    """A function that remembers."""

    forget: Callable[[], None]

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R: ...


def remembered(function: Callable[P, R]) -> Remembered[P, R]:
    """`function`, of arrays, functions, what has a digest and what `repr` tells whole, with its last 64
    answers kept by a digest of what it was asked; `forget()` forgets them.

    It must answer the same question alike, with what nobody changes. Raises TypeError on arrays of Python's
    objects, which their bytes do not tell apart.
    """
    known: OrderedDict[bytes, R] = OrderedDict()

    @wraps(function)
    def ask(*arguments: P.args, **named: P.kwargs) -> R:
        key = _digest(*arguments, *sorted(named.items()))
        if key not in known:
            known[key] = function(*arguments, **named)
            if len(known) > MOST:
                known.popitem(last=False)
        known.move_to_end(key)
        return known[key]

    made = cast(Remembered[P, R], ask)
    made.forget = known.clear
    return made


def _digest(*arguments: object) -> bytes:
    made = hashlib.blake2b(digest_size=32)
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            made.update(f"{argument.dtype.str}{argument.shape}".encode())
            if argument.dtype.hasobject:
                raise TypeError("arrays of Python's objects cannot be told apart by their bytes")
            made.update(np.ascontiguousarray(argument).data)
        elif isinstance(argument, FunctionType):
            made.update(f"{argument.__module__}.{argument.__qualname__}".encode())
        elif isinstance(argument, Digested):
            made.update(argument.digest)
        else:
            made.update(repr(argument).encode())
        made.update(b"\0")
    return made.digest()
