"""Compiled code that has no driver of its own: what its tests ask here is asked again of another processor.

A form for AVX-512 or NEON is vectors of some length, and the compiler builds the same lengths for AVX2, too.
So the tests run on this machine with the code in the lengths of that form, and compare it with float64; each
call of its functions is recorded (`recorder.py`), and so are calls on drawn shapes, mostly odd ones
(`odd_calls.py`). Then `replay.cpp`, compiled for that processor, asks the same of it, and what it gives back
has to be what this machine gave, but for rounding.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sanitized"))
import odd_calls
from lengths import in_its_lengths
from recorder import Call, Library, Recorder

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
DRAWN = {
    CONVOLUTION: odd_calls.convolutions,
    FROZEN: odd_calls.frozen_convolutions,
    DOUBLINGS: odd_calls.decoders,
    BLOCKS: odd_calls.blocks,
    SIMILARITY: odd_calls.similarities,
    NORMALISATION: odd_calls.features,
    DISTANCES: odd_calls.distances,
    COUPLINGS: odd_calls.couplings,
}
MOST = dict.fromkeys((CONVOLUTION, FROZEN, DOUBLINGS), 1e-5)
MOST |= dict.fromkeys((BLOCKS, SIMILARITY, COUPLINGS, DISTANCES, NORMALISATION), 2e-6)
"""Of the largest value of a buffer. Winograd's sums are ten times as coarse as others: their own tests allow
3e-5 beside float64."""
AT_ONCE = 8_000_000
"""Bytes of calls in one run; a call that has more is left out."""
NOT_STATIC = ("-shared", "-fPIC", "-fopenmp")
SOURCE = Path(__file__).with_name("replay.cpp")


def recorded(code: Code[Any], form: Form, folder: Path, drawn: int) -> list[Call]:
    """What the code's tests ask of it, and so many drawn calls. SystemExit where one of them fails."""
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
        threads = 1 if code is CONVOLUTION else None  # there, one sums up gradients that here several did
        if not all(odd_calls.ask(DRAWN[code], seed, threads) for seed in range(drawn)):
            raise SystemExit(f"drawn calls of {code.name} fail in the lengths of {form.name}")
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


def asking(parser: argparse.ArgumentParser) -> None:
    """Adds options, `check`'s last arguments."""
    names = [code.name for code in ASKED]
    parser.add_argument("--codes", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--drawn", type=int, default=20, help="calls of each code on drawn shapes")


def check(
    form_name: str,
    folder: Path,
    runner: Callable[[Callable[..., Path]], Callable[[bytes], bytes]],
    drawn: int,
    names: Sequence[str] | None = None,
) -> bool:
    """Whether each code's form of that name gives back elsewhere what it gives here; told line by line.

    drawn   calls on drawn shapes, beside those of the tests
    names   of codes, in place of all
    runner  of a function that builds the program, given a compiler and more arguments: what runs it on calls
    """
    good = True
    for code in (code for code in ASKED if names is None or code.name in names):
        form = next(form for form in code.forms if form.name == form_name)
        calls = recorded(code, form, folder, drawn)
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
    """The largest, as a share of the largest number of its buffer; infinite where something else differs. Of
    each buffer that counts which was written, here or there."""
    at, worst = 0, 0.0
    for call in calls:
        (back,) = struct.unpack_from("q", found, at)
        at += 8
        if call.found is not None and (back - call.found) % (1 << 32):
            return float("inf")
        for buffer in (one for one in call.buffers if one.wanted):
            length = len(buffer.after)
            before, after, there = (
                np.frombuffer(bits, np.uint32)
                for bits in (buffer.before, buffer.after, found[at : at + length])
            )
            at += length
            written = (before != after) | (before != there)
            expected, own = after[written].view(np.float32), there[written].view(np.float32)
            finite = np.isfinite(expected)
            if not np.array_equal(expected[~finite], own[~finite], equal_nan=True):
                return float("inf")
            if not np.isfinite(own[finite]).all():
                return float("inf")
            expected, own = expected[finite].astype(np.float64), own[finite].astype(np.float64)
            largest = max(np.abs(expected).max(initial=0.0), 1e-30)
            worst = max(worst, float(np.abs(own - expected).max(initial=0.0) / largest))
    return worst if at == len(found) else float("inf")
