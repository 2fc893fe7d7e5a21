"""What a worker may answer: plain values and arrays of a type that the receiver names, and nothing that runs.

    length of the head (8 bytes, little-endian) · head (JSON) · zeros up to a multiple of 64 · arrays, each
    from a multiple of 64 on

The head is `[item, [value]]` or `[item, null, [path, problem, advice]]`. Its values are built by the type
that the receiver expects (None, bool, int, float, str, Path, tuples, lists, mappings from str, Literal,
dataclasses, arrays, and unions of them; see `message_values`): a message chooses no class, no function and no
type of its own. An array stands in it as `[dtype, shape, start]`; its type is one of a short list, and it
must lie within the message. So a decoder that a file has taken over can answer wrongly, but runs nothing in
the receiver.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import typing
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import ImageError
from secondread.images.workers.message_values import ALIGNED_TO, BadMessage, kind_of

LONGEST_HEAD = 1 << 22
_LONGEST_LINE = 2000


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of one item: its value, or the error in its place."""

    item: int
    value: Any
    error: ImageError | None


Parts = list[bytes | memoryview]


class Messages:
    """Answers whose values are of one type, both ways."""

    def __init__(self, expected: Any) -> None:
        self._type = kind_of(expected)

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Messages:
        """For what a function returns, as its annotation says. Raises ValueError where it says nothing."""
        called: Any = function
        while isinstance(called, functools.partial):
            called = called.func
        if not inspect.isroutine(called) and not inspect.isclass(called):
            called = type(called).__call__
        hints = typing.get_type_hints(called)
        if "return" not in hints:
            raise ValueError(f"{function!r} must say in its annotation what it returns")
        return cls(hints["return"])

    @property
    def holds_arrays(self) -> bool:
        return self._type.holds_arrays

    def write(self, item: int, value: Any) -> Parts:
        """The parts of a message, to be sent one after the other. Raises BadMessage where `value` is not of
        the type, or too long for a message."""
        arrays: list[NDArray[Any]] = []
        try:
            return _parts([item, [self._type.pack(value, arrays)]], arrays)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadMessage(str(error)) from error

    def read(self, data: NDArray[np.uint8]) -> Answer:
        """The answer in a message; its arrays are views of `data`. Raises BadMessage."""
        length = int.from_bytes(data[:8].tobytes(), "little")
        if len(data) < 8 or length > min(LONGEST_HEAD, len(data) - 8):
            raise BadMessage("a head that is longer than allowed")
        try:
            head = json.loads(data[8 : 8 + length].tobytes())
        except (ValueError, RecursionError) as error:
            raise BadMessage("a head that is not JSON") from error
        start = 8 + length + (-(8 + length) % ALIGNED_TO)
        match head:
            case [int(item), [value]]:
                try:
                    return Answer(item, self._type.unpack(value, data[start:]), None)
                except RecursionError as error:
                    raise BadMessage("nested too deeply") from error
                except (TypeError, ValueError, OverflowError) as error:
                    raise BadMessage(f"a value that is none ({error})") from error
            case [int(item), None, [str(path), str(problem), str(advice)]]:
                lines = (text[:_LONGEST_LINE] for text in (path, problem, advice))
                return Answer(item, None, ImageError(*lines))
        raise BadMessage("neither a value nor an error")


def write_error(item: int, error: ImageError) -> Parts:
    """The parts of a message that tells an error."""
    lines = [text[:_LONGEST_LINE] for text in (error.path, error.problem, error.advice)]
    return _parts([item, None, lines], [])


def _parts(head: Any, arrays: Sequence[NDArray[Any]]) -> Parts:
    text = json.dumps(head).encode()
    if len(text) > LONGEST_HEAD:
        raise BadMessage(f"its facts are {len(text):,} bytes; at most {LONGEST_HEAD:,} are sent")
    parts: Parts = [len(text).to_bytes(8, "little") + text + bytes(-(8 + len(text)) % ALIGNED_TO)]
    for array in arrays:
        parts.append(array.reshape(-1).view(np.uint8).data)
        parts.append(bytes(-array.nbytes % ALIGNED_TO))
    return parts
