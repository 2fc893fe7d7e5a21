"""Compiled code that has no driver of its own: what its tests ask here is asked again of another processor.

A form for AVX-512 or NEON is vectors of some length, and the compiler builds the same lengths for AVX2, too.
So the tests run on this machine with the code in the lengths of that form, and compare it with float64; each
call of its functions is recorded with all memory that it may see. Then `replay.cpp`, compiled for that
processor, asks the same of it, and what it gives back has to be what this machine gave, but for rounding.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from secondread.estimators.compiled_distances.kernel import CODE as DISTANCES
from secondread.estimators.compiled_normalisation.kernel import CODE as NORMALISATION
from secondread.flows.compiled_coupling.kernel import CODE as COUPLINGS
from secondread.networks.convolution3.doublings.kernel import CODE as DOUBLINGS
from secondread.networks.convolution3.frozen_kernel import CODE as FROZEN
from secondread.networks.convolution3.kernel import CODE as CONVOLUTION
from secondread.networks.inverted_residual.kernel import CODE as BLOCKS
from secondread.networks.native.build import SWITCH, Code, compile_form
from secondread.networks.native.forms import Form
from secondread.networks.similarity.kernel import CODE as SIMILARITY

TESTS = Path(__file__).resolve().parents[3] / "tests"
ASKED = {
    CONVOLUTION: "networks/convolution3/test_winograd.py",
    FROZEN: "networks/convolution3/test_frozen_convolution.py",
    DOUBLINGS: "networks/convolution3/test_doublings.py",
    BLOCKS: "networks/inverted_residual/test_compiled_blocks.py",
    SIMILARITY: "networks/similarity/test_compiled_similarity.py",
    NORMALISATION: "estimators/test_compiled_normalisation.py",
    DISTANCES: "estimators/test_position_gaussians.py",
    COUPLINGS: "flows/compiled_coupling/test_compiled_couplings.py",
}
MOST = dict.fromkeys((CONVOLUTION, FROZEN, DOUBLINGS), 1e-5)
MOST |= dict.fromkeys((BLOCKS, SIMILARITY, COUPLINGS, DISTANCES, NORMALISATION), 2e-6)
"""Of the largest value of a buffer. Winograd's sums are ten times as coarse as others: their own tests allow
3e-5 beside float64."""
AT_ONCE = 8_000_000
"""Bytes of calls in one run; a call that has more is left out."""
ADDRESS = 1 << 32
"""No number that is no address is as large."""
NOT_STATIC = ("-shared", "-fPIC", "-fopenmp")
SOURCE = Path(__file__).with_name("replay.cpp")


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


def in_its_lengths(form: Form) -> Form:
    """A form's lengths, for AVX2."""
    flags = [flag for flag in form.flags if not flag.startswith("-mavx512")]
    return replace(form, flags=(*flags, "-mavx2", "-mfma"))


def recorded(code: Code[Any], form: Form, folder: Path) -> list[Call]:
    """What the code's tests ask of it. SystemExit where one of them fails."""
    library, recorder, load = folder / f"{code.name}.so", Recorder(), ctypes.CDLL
    compile_form(in_its_lengths(form), library)
    with mock.patch.object(ctypes, "CDLL", lambda path: Library(path, recorder, load)):
        kernel = code.load(form, library)
    outcome = Code._outcome

    def given(self: Code[Any], precision: torch.dtype) -> Any:
        here = self.name == code.name and os.environ.get(SWITCH) != "0"
        return (kernel, library) if here else outcome(self, precision)

    caches = mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder), SWITCH: "1"})
    with recorder.listening(), caches, mock.patch.object(Code, "_outcome", given):
        options = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
        if pytest.main([*options, "--override-ini=addopts=", str(TESTS / ASKED[code])]):
            raise SystemExit(f"the tests of {code.name} fail in the lengths of {form.name}")
    if len(recorder.calls) < 2:
        raise SystemExit(f"the tests of {code.name} asked nothing of it")
    return recorder.calls


def build(form: Form, functions: Sequence[str], folder: Path, compiler: Sequence[str], *more: str) -> Path:
    """`replay.cpp` with a form's source, linked statically."""
    program = folder / "replay"
    flags = [*(flag for flag in form.flags if flag not in NOT_STATIC), *form.includes]
    listed = ",".join(f"(void*){name}" for name in functions)
    source = (f'-DSOURCE="{form.path.name}"', f"-DFUNCTIONS={listed}", f"-I{form.path.parent}")
    command = [*compiler, *flags, *source, str(SOURCE), *more, "-static", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def check(
    form_name: str,
    folder: Path,
    runner: Callable[[Callable[..., Path]], Callable[[bytes], bytes]],
) -> bool:
    """Whether each code's form of that name gives back elsewhere what it gives here; told line by line.

    runner  of a function that builds the program, given a compiler and more arguments: what runs it on calls
    """
    good = True
    for code in ASKED:
        form = next(form for form in code.forms if form.name == form_name)
        calls = recorded(code, form, folder)
        functions = sorted({call.function for call in calls})
        run = runner(lambda *given, form=form, functions=functions: build(form, functions, folder, *given))
        worst, asked = 0.0, 0
        for together in in_parts(calls, functions):
            worst = max(
                worst, difference(together, run(b"".join(call.written(functions) for call in together)))
            )
            asked += len(together)
        good &= worst <= MOST[code]
        told = f"{code.name}, {asked} of {len(calls)} calls"
        print(f"{form.name:17s} {told:45s} {worst:.1e} of {MOST[code]:.0e}", flush=True)
    return good


def in_parts(calls: Sequence[Call], functions: Sequence[str]) -> Iterator[list[Call]]:
    """Calls that are asked in one run."""
    part, size = [], 0
    for call in calls:
        length = len(call.written(functions))
        if length > AT_ONCE:
            continue
        if size + length > AT_ONCE:
            yield part
            part, size = [], 0
        part.append(call)
        size += length
    if part:
        yield part


def difference(calls: Sequence[Call], found: bytes) -> float:
    """The largest, as a share of the largest number of its buffer; infinite where something else differs."""
    at, worst = 0, 0.0
    for call in calls:
        (back,) = struct.unpack_from("q", found, at)
        at += 8
        if call.found is not None and (back - call.found) % (1 << 32):
            return float("inf")
        for buffer in (one for one in call.buffers if one.wanted):
            expected = np.frombuffer(buffer.after, np.float32)
            own = np.frombuffer(found, np.float32, len(expected), at)
            at += len(buffer.after)
            if not np.array_equal(np.isnan(own), np.isnan(expected)):
                return float("inf")
            with np.errstate(invalid="ignore"):  # of what a function leaves alone
                apart = np.nanmax(np.abs(own - expected), initial=0.0)
            worst = max(worst, float(apart / max(np.nanmax(np.abs(expected), initial=0.0), 1e-30)))
    return worst if at == len(found) else float("inf")
