"""How values of one type travel in a message: as JSON and arrays, and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNED_TO = 64
_MOST_AXES = 8
_DTYPES = {
    np.dtype(name).str: np.dtype(name)
    for name in ("?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
}


class BadMessage(Exception):
    """A message that is none: cut, too long, or of another type than was agreed."""


class Kind:
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


def kind_of(expected: Any) -> Kind:
    """How values of a type travel. Raises ValueError for a type that does not."""
    expected = _spelled_out(expected)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return _OneOf([kind_of(each) for each in arguments])
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
        return _Fixed([kind_of(each) for each in arguments], tuple, lambda values: values, tuple)
    if origin in (tuple, list):
        return _Many(kind_of(arguments[0]), origin)
    if isinstance(origin, type) and issubclass(origin, Mapping) and arguments[0] is str:
        return _Named(kind_of(arguments[1]))
    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        hints = typing.get_type_hints(expected)
        names = [field.name for field in dataclasses.fields(expected)]
        return _Fixed(
            [kind_of(hints[name]) for name in names],
            expected,
            lambda value: [getattr(value, name) for name in names],
            lambda values: expected(**dict(zip(names, values, strict=True))),
        )
    raise ValueError(f"values of type {expected!r} are not sent between processes")


def _spelled_out(expected: Any) -> Any:
    """The type behind a name that a `type` statement gave it, as `NDArray` is one since NumPy 2.5."""
    value = getattr(typing.get_origin(expected) or expected, "__value__", None)
    arguments = typing.get_args(expected)
    return expected if value is None else _spelled_out(value[arguments] if arguments else value)


@dataclasses.dataclass
class _Plain(Kind):
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
class _Through(Kind):
    """A type that travels as another."""

    other: Kind
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
class _Many(Kind):
    each: Kind
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
class _Fixed(Kind):
    """A dataclass, or a tuple of a known length."""

    parts: list[Kind]
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
class _Named(Kind):
    each: Kind

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
class _OneOf(Kind):
    """A union travels as `[which, value]`."""

    kinds: list[Kind]

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
class _Array(Kind):
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
