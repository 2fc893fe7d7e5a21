"""The compiled coupling network as a program of its own, for processors that this machine is not.

`driver.cpp`, compiled with a form's source and flags, reads calls from a file and writes what the
network makes of them. Here are those calls, and the judgement of the results as in the forms' own tests:
in float32 within 2e-6 of float64; in bfloat16 whole numbers exactly, and rounding no coarser than that of
matrices; what is not a number is seen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

os.environ["SECONDREAD_NATIVE"] = "0"  # what is compared with is not compiled
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "flows" / "glow"))

import test_tile_kernel as tiles
import test_vector_kernel as vectors

from secondread.flows.glow.native.forms import TILES
from secondread.flows.glow.network import LOGS
from secondread.networks.native.forms import Form

SOURCES = Path(__file__).parent
NOT_STATIC = ("-shared", "-fPIC", "-fopenmp")
Results = list[list[Tensor | None]]
"""Of each call the output and all gradients."""


@dataclass(frozen=True)
class Trial:
    """What is asked of a form: calls, and of their results a number that may not be above `most`."""

    name: str
    calls: Sequence[tuple]
    judge: Callable[[Results], float]
    most: float


def check(form: Form, run: Callable[[bytes], bytes]) -> bool:
    """Whether a form, run on all calls at once, does what its tests ask; told line by line."""
    tiled = in_tiles(form)
    trials, write = (tile_trials(), tile_call) if tiled else (vector_trials(form), vector_call)
    found = run(b"".join(write(*call) for trial in trials for call in trial.calls))
    numbers = torch.from_numpy(np.frombuffer(found, np.float32).copy())
    good = True
    for trial in trials:
        results = []
        for call in trial.calls:
            shapes = result_shapes(*call)
            sizes = [0 if shape is None else shape.numel() for shape in shapes]
            own, numbers = numbers.split([sum(sizes), len(numbers) - sum(sizes)])
            parts = zip(own.split(sizes), shapes, strict=True)
            results.append([None if shape is None else part.view(shape) for part, shape in parts])
        figure = trial.judge(results)
        good &= figure <= trial.most
        print(f"{form.name:17s} {trial.name:45s} {figure:.1e} of {trial.most:.0e}", flush=True)
    return good and not len(numbers)


def in_tiles(form: Form) -> bool:
    return form.path == TILES


def build(form: Form, folder: Path, compiler: Sequence[str], *more: str) -> Path:
    """The driver with a form's source, linked statically."""
    program = folder / form.name.replace(" ", "-")
    flags = [*(flag for flag in form.flags if flag not in NOT_STATIC), *form.includes]
    source = (f'-DSOURCE="{form.path.name}"', f"-DTILES={int(in_tiles(form))}", f"-I{form.path.parent}")
    command = [*compiler, *flags, *source, str(SOURCES / "driver.cpp"), *more, "-static", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def vector_trials(form: Form) -> list[Trial]:
    single = form.precision is torch.float32
    draw, most = (vectors.drawn, 2e-6) if single else (vectors.whole_numbers, 0.0)
    found = [each_case(case, draw(*case), vectors.exactly, most) for case in vectors.CASES]
    if not single:
        drawn = [vectors.drawn(size, 2, 2, 4, 128, border=True, seed=seed) for size, seed in vectors.ROUNDED]
        found.append(Trial("rounding against matrices'", drawn, partial(vectors.coarseness, drawn), 1.0))
    return [*found, strange(vectors, lambda result: vectors.shows_what_is_not_a_number(*result))]


def tile_trials() -> list[Trial]:
    def exactly(*given: Any) -> list[Tensor | None]:
        out, slopes = tiles.exactly(*given)
        return [out, *slopes]

    found = [each_case(case, tiles.whole_numbers(*case), exactly, 0.0) for case in tiles.CASES]
    for size in tiles.ROUNDED:
        given = tiles.drawn(size)

        def judge(results: Results, given: tuple = given) -> float:
            return tiles.coarseness(given, results[0][0], results[0][1:])

        found.append(Trial(f"rounding against matrices', {size}", [given], judge, 1.0))
    return [*found, strange(tiles, lambda result: tiles.shows_what_is_not_a_number(result[0], result[1:]))]


def strange(module: Any, shows: Callable[[list[Tensor | None]], bool]) -> Trial:
    calls = [module.not_a_number(sign) for sign in (1.0, -1.0)]
    return Trial("hides what is not a number", calls, lambda found: float(not all(map(shows, found))), 0.0)


def each_case(case: tuple, given: tuple, exactly: Callable, most: float) -> Trial:
    """A case of the tests, judged by the relative error of the worst of output and gradients."""

    def worst(results: Results) -> float:
        pairs = zip(results[0], exactly(*given), strict=True)
        return max(vectors.error(*pair) for pair in pairs if pair[0] is not None)

    return Trial(str(case), [given], worst, most)


def result_shapes(x: Tensor, weights, gradient: Tensor) -> list[torch.Size | None]:
    """Of the output and all gradients; None of one that there is not."""
    given = tiles.six(weights) if isinstance(weights, tiles.NetWeights) else weights
    return [gradient.shape, x.shape, *(None if each is None else each.shape for each in given)]


def vector_call(x: Tensor, values: Sequence[Tensor], gradient: Tensor) -> bytes:
    gains = [torch.exp(3.0 * value) if at in LOGS else value for at, value in enumerate(values)]
    border = len(values) > 9
    return b"".join(call_bytes(x, len(values[7]), len(values[3]), border, [*gains, gradient]))


def tile_call(x: Tensor, weights, gradient: Tensor) -> bytes:
    given = [each for each in tiles.six(weights) if each is not None]
    outputs, width, border = len(weights.last_bias), len(weights.middle), weights.border is not None
    return b"".join(call_bytes(x, outputs, width, border, [*given, gradient]))


def call_bytes(
    x: Tensor, outputs: int, width: int, border: bool, arrays: Sequence[Tensor]
) -> Iterator[bytes]:
    channels, images, *size = x.shape
    sizes = [*size, *([1] * (3 - len(size)))]
    yield np.array([len(size), *sizes, images, channels, outputs, width, border], np.int64).tobytes()
    for array in (x, *arrays):
        bits = array.view(torch.int16) if array.dtype is torch.bfloat16 else array
        yield bits.contiguous().numpy().tobytes()
