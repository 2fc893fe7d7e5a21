"""Calls of a compiled library's functions, with all memory that they may see."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch

ADDRESS = 1 << 32
"""No number that is no address is as large."""


@dataclass
class Buffer:
    """Memory that a call may see. pointers: offset in it, number of a buffer, offset in that."""

    before: bytes
    pointers: list[tuple[int, int, int]] = field(default_factory=list)
    after: bytes = b""

    @property
    def wanted(self) -> bool:
        return self.after != self.before


@dataclass
class Call:
    """arguments: number of a buffer, or -1, and an offset in it, or a value. found: what came back, if that
    is a number."""

    function: str
    arguments: list[tuple[int, int]]
    buffers: list[Buffer]
    found: int | None = None

    def written(self, functions: Sequence[str]) -> bytes:
        parts = [struct.pack("3q", functions.index(self.function), len(self.arguments), len(self.buffers))]
        parts += [struct.pack("2q", *argument) for argument in self.arguments]
        for one in self.buffers:
            parts.append(struct.pack("3q", len(one.before), len(one.pointers), one.wanted))
            parts += [struct.pack("3q", *pointer) for pointer in one.pointers]
            parts.append(one.before)
        return b"".join(parts)


class Recorder:
    """Knows where the memory lies that Python gave addresses of, and keeps it there."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.known: dict[int, tuple[int, object]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        of_tensor, of_structure = torch.Tensor.data_ptr, ctypes.addressof

        def data_ptr(tensor: torch.Tensor) -> int:
            storage = tensor.untyped_storage()
            self.known[storage.data_ptr()] = (storage.nbytes(), storage)
            return of_tensor(tensor)

        def addressof(structure: Any) -> int:
            self.known[of_structure(structure)] = (ctypes.sizeof(structure), structure)
            return of_structure(structure)

        with (
            mock.patch.object(torch.Tensor, "data_ptr", data_ptr),
            mock.patch.object(ctypes, "addressof", addressof),
        ):
            yield

    def at(self, address: int) -> int | None:
        """Where the memory begins that an address lies in."""
        return next(
            (base for base, (length, _) in self.known.items() if base <= address < base + length), None
        )

    def call(self, name: str, function: Any, given: Sequence[Any]) -> Any:
        numbers: dict[int, int] = {}
        buffers: list[Buffer] = []

        def number_of(address: int, base: int) -> int:
            if base not in numbers:
                numbers[base] = len(buffers)
                length, owner = self.known[base]
                buffers.append(Buffer(ctypes.string_at(base, length)))
                if isinstance(owner, ctypes.Structure):
                    follow(buffers[-1])
            return numbers[base]

        def follow(buffer: Buffer) -> None:
            for offset in range(0, len(buffer.before) - 7, 8):
                (word,) = struct.unpack_from("Q", buffer.before, offset)
                base = self.at(word) if word >= ADDRESS else None
                if base is not None:
                    buffer.pointers.append((offset, number_of(word, base), word - base))

        arguments = []
        for value in given:
            if isinstance(value, bytes):
                own = Buffer(value, after=value)
                buffers.append(own)
                arguments.append((len(buffers) - 1, 0))
                follow(own)
            elif value is None or value < ADDRESS:
                arguments.append((-1, int(value or 0)))
            else:
                base = self.at(value)
                if base is None:
                    raise ValueError(f"{name} takes an address that is not known")
                arguments.append((number_of(value, base), value - base))
        found = function(*given)
        for base, number in numbers.items():
            buffers[number].after = ctypes.string_at(base, len(buffers[number].before))
        self.calls.append(Call(name, arguments, buffers, None if function.restype is None else int(found)))
        return found


class Library:
    """A library whose calls are recorded."""

    def __init__(self, path: str, recorder: Recorder, load: Callable[[str], Any]) -> None:
        self._library, self._recorder = load(path), recorder
        self._functions: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return self._functions.setdefault(name, Function(name, getattr(self._library, name), self._recorder))


class Function:
    def __init__(self, name: str, function: Any, recorder: Recorder) -> None:
        self.__dict__.update(name=name, function=function, recorder=recorder)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.function, name, value)

    def __call__(self, *given: Any) -> Any:
        return self.recorder.call(self.name, self.function, given)
