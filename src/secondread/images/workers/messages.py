"""What a worker may answer: plain values and arrays of a type that the receiver names, and nothing that runs.

    length of the head (8 bytes, little-endian) · head (JSON) · zeros up to a multiple of 64 · arrays, each
    from a multiple of 64 on

The head is `[item, [value]]` or `[item, null, [path, problem, advice]]`. Its values are built by the type
that the receiver expects (None, bool, int, float, str, Path, tuples, lists, mappings from str, Literal,
dataclasses, arrays, and unions of them): a message chooses no class, no function and no type of its own. An
array stands in it as `[dtype, shape, start]`; its type is one of a short list, and it must lie within the
message. So a decoder that a file has taken over can answer wrongly, but runs nothing in the receiver.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import ImageError

LONGEST_HEAD = 1 << 22
ALIGNED_TO = 64
_MOST_AXES = 8
_LONGEST_LINE = 2000
_DTYPES = {
    np.dtype(name).str: np.dtype(name)
    for name in ("?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
}


class BadMessage(Exception):
    """A message that is none: cut, too long, or of another type than was agreed."""


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
        self._type = _kind(expected)

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


class _Kind:
    """One type, as JSON and back."""

    holds_arrays = False

    def is_one(self, value: Any) -> bool:
        raise NotImplementedError

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        """`value` as JSON can say it; arrays are put into `arrays`. Raises BadMessage."""
        raise NotImplementedError

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        """The value that `told` says. Raises BadMessage, or what a dataclass raises for such fields."""
        raise NotImplementedError


def _kind(expected: Any) -> _Kind:
    """How values of a type travel. Raises ValueError for a type that does not."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return _OneOf([_kind(each) for each in arguments])
    if origin is typing.Literal:
        return _Plain((str, int, bool, type(None)), among=arguments)
    if expected in (None, type(None)):
        return _Plain((type(None),))
    if expected is float:
        return _Plain((float, int))
    if expected in (bool, int, str):
        return _Plain((expected,))
    if expected is Path:
        return _Through(_Plain((str,)), Path, str, Path)
    if origin is np.ndarray:
        return _Array(typing.get_args(arguments[1])[0])
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        return _Fixed([_kind(each) for each in arguments], tuple, lambda values: values, tuple)
    if origin in (tuple, list):
        return _Many(_kind(arguments[0]), origin)
    if origin is not None and issubclass(origin, Mapping) and arguments[0] is str:
        return _Named(_kind(arguments[1]))
    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        hints = typing.get_type_hints(expected)
        names = [field.name for field in dataclasses.fields(expected)]
        return _Fixed(
            [_kind(hints[name]) for name in names],
            expected,
            lambda value: [getattr(value, name) for name in names],
            lambda values: expected(**dict(zip(names, values, strict=True))),
        )
    raise ValueError(f"values of type {expected!r} are not sent between processes")


@dataclasses.dataclass
class _Plain(_Kind):
    types: tuple[type, ...]
    among: tuple[Any, ...] | None = None

    def is_one(self, value: Any) -> bool:
        value = value.item() if isinstance(value, np.generic) else value
        if self.among is not None and value not in self.among:
            return False
        # A subclass may be anything; and a bool is no int here.
        return type(value) in self.types and (type(value) is not int or -(2**63) <= value < 2**63)

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, str):
            value = str(value)
        return self.unpack(value, _NOTHING)

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        if not self.is_one(told):
            raise BadMessage(f"{type(told).__name__} where {self.types[0].__name__} was expected")
        return told


@dataclasses.dataclass
class _Through(_Kind):
    """A type that travels as another."""

    other: _Kind
    type: type
    out: Callable[[Any], Any]
    back: Callable[[Any], Any]

    def is_one(self, value: Any) -> bool:
        return isinstance(value, self.type)

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        return self.other.pack(self.out(value), arrays)

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        return self.back(self.other.unpack(told, data))


@dataclasses.dataclass
class _Many(_Kind):
    each: _Kind
    type: type[tuple[Any, ...]] | type[list[Any]]

    def __post_init__(self) -> None:
        self.holds_arrays = self.each.holds_arrays

    def is_one(self, value: Any) -> bool:
        return isinstance(value, self.type) and all(map(self.each.is_one, value))

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        if not isinstance(value, self.type):
            raise BadMessage(f"{type(value).__name__} where {self.type.__name__} was expected")
        return [self.each.pack(one, arrays) for one in value]

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        if type(told) is not list:
            raise BadMessage(f"{type(told).__name__} where several values were expected")
        return self.type([self.each.unpack(one, data) for one in told])


@dataclasses.dataclass
class _Fixed(_Kind):
    """A dataclass, or a tuple of a known length."""

    parts: list[_Kind]
    type: type
    out: Callable[[Any], Sequence[Any]]
    back: Callable[[list[Any]], Any]

    def __post_init__(self) -> None:
        self.holds_arrays = any(part.holds_arrays for part in self.parts)

    def is_one(self, value: Any) -> bool:
        return isinstance(value, self.type)

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        if not self.is_one(value):
            raise BadMessage(f"{type(value).__name__} where {self.type.__name__} was expected")
        return [part.pack(one, arrays) for part, one in zip(self.parts, self.out(value), strict=True)]

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        if type(told) is not list or len(told) != len(self.parts):
            raise BadMessage(f"not the {len(self.parts)} values of {self.type.__name__}")
        return self.back([part.unpack(one, data) for part, one in zip(self.parts, told, strict=True)])


@dataclasses.dataclass
class _Named(_Kind):
    each: _Kind

    def __post_init__(self) -> None:
        self.holds_arrays = self.each.holds_arrays

    def is_one(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise BadMessage(f"{type(value).__name__} where names and values were expected")
        return {name: self.each.pack(one, arrays) for name, one in value.items()}

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        if type(told) is not dict:
            raise BadMessage(f"{type(told).__name__} where names and values were expected")
        return {name: self.each.unpack(one, data) for name, one in told.items()}


@dataclasses.dataclass
class _OneOf(_Kind):
    """A union travels as `[which, value]`."""

    kinds: list[_Kind]

    def __post_init__(self) -> None:
        self.holds_arrays = any(kind.holds_arrays for kind in self.kinds)

    def is_one(self, value: Any) -> bool:
        return any(kind.is_one(value) for kind in self.kinds)

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        for which, kind in enumerate(self.kinds):
            if kind.is_one(value):
                return [which, kind.pack(value, arrays)]
        raise BadMessage(f"{type(value).__name__} was not expected")

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        match told:
            case [int(which), value] if 0 <= which < len(self.kinds):
                return self.kinds[which].unpack(value, data)
        raise BadMessage("a value of no known kind")


@dataclasses.dataclass
class _Array(_Kind):
    """Numbers of one type, or of any where `scalar` is not a type of one size."""

    scalar: Any
    holds_arrays = True

    def is_one(self, value: Any) -> bool:
        return isinstance(value, np.ndarray) and self._allowed(value.dtype)

    def _allowed(self, dtype: np.dtype[Any]) -> bool:
        return self.scalar is Any or issubclass(dtype.type, self.scalar)

    def pack(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        if not self.is_one(value):
            found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise BadMessage(f"{found} where an array of {self.scalar} was expected")
        array = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        if array.dtype.str not in _DTYPES or value.ndim > _MOST_AXES:
            raise BadMessage(f"an array of {value.dtype} and {value.ndim} axes is not sent")
        start = sum(each.nbytes + -each.nbytes % ALIGNED_TO for each in arrays)
        arrays.append(array)
        return [array.dtype.str, list(value.shape), start]

    def unpack(self, told: Any, data: NDArray[np.uint8]) -> Any:
        match told:
            case [str(name), [*shape], int(start)]:
                dtype = _DTYPES.get(name)
                if dtype is None or not self._allowed(dtype):
                    raise BadMessage(f"an array of '{name[:20]}' was not expected")
                if len(shape) > _MOST_AXES or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
                    raise BadMessage("an array of no shape")
                end = start + prod(shape) * dtype.itemsize
                if start < 0 or start % ALIGNED_TO or end > len(data):
                    raise BadMessage("an array beyond the message's end")
                if dtype == np.bool_ and data[start:end].max(initial=0) > 1:
                    raise BadMessage("truth values that are neither 0 nor 1")
                return data[start:end].view(dtype).reshape(shape)
        raise BadMessage("not an array")


_NOTHING = np.zeros(0, np.uint8)
