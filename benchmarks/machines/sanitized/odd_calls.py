"""Compiled code on drawn shapes, mostly odd ones, against float64: one pixel, one channel, maps smaller than
a tile, channels beside a multiple of a vector, more threads than work, several callers at once.

    python benchmarks/machines/sanitized/odd_calls.py [--count 40] [--seed 0] [--callers 1]

`check.py` runs it under sanitizers; `emulated/replay.py` asks its calls of emulated processors. Where float64
finds no finite number, neither may compiled code: every third call has one that is none, or is infinite, in
its input. Ends with 1 where something is not as it should be, and tells the call by its seed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[3] / "tests/networks/inverted_residual"))
sys.path.insert(0, str(Path(__file__).parents[3] / "tests/flows/glow"))
sys.path.insert(0, str(Path(__file__).parents[3] / "tests/flows/compiled_coupling"))
import test_compiled_blocks as of_blocks
import test_compiled_couplings as of_couplings
import test_vector_kernel as of_networks

from secondread.estimators.compiled_distances.kernel import CODE as DISTANCES
from secondread.estimators.compiled_normalisation.kernel import CODE as NORMALISATION
from secondread.flows.glow.native import COUPLING
from secondread.networks.convolution3.doublings import run_layers
from secondread.networks.convolution3.doublings.kernel import CODE as DOUBLINGS
from secondread.networks.convolution3.frozen_kernel import CODE as FROZEN
from secondread.networks.convolution3.kernel import CODE as WINOGRAD
from secondread.networks.gaussian_blur import gaussian
from secondread.networks.inverted_residual import run_blocks
from secondread.networks.native.build import SWITCH
from secondread.networks.structural_similarity import structural_similarity_map

SINGLE, HALF = torch.float32, torch.bfloat16
SPOILT = (float("nan"), float("inf"), -float("inf"), 3e38)


def side(draw: Random, most: int) -> int:
    """Often 1, often small."""
    return draw.choice([1, draw.randint(1, 5), draw.randint(1, most)])


def spoil(draw: Random, x: Tensor, *, sometimes: bool = True) -> bool:
    """Puts something into x in one place."""
    if sometimes and draw.random() < 1 / 3:
        x.view(-1)[draw.randrange(x.numel())] = draw.choice(SPOILT)
        return True
    return False


def difference(found: Tensor, exact: Tensor, most: float, *, spoilt: bool = False) -> str:
    """In words; empty where there is none. What is spoilt has to be seen, and only so much is asked."""
    single = exact.float()
    hidden = found.isfinite() & ~single.isfinite()
    if hidden.any():
        return f"{int(hidden.sum())} finite numbers where float64 has none"
    if spoilt:
        return ""
    if not found.isfinite().all():
        return "numbers that are not finite"
    error = float((found.double() - exact).abs().max() / exact.abs().max().clamp_min(1e-30))
    return f"{error:.1e} of the largest value, {most:.1e} are allowed" if error > most else ""


def convolutions(draw: Random) -> str:
    kernel = WINOGRAD.native(SINGLE)
    assert kernel is not None, WINOGRAD.why_not(SINGLE)
    images, ins, outs = side(draw, 4), side(draw, 40), side(draw, 40)
    rows, columns = side(draw, 30), side(draw, 150)
    x, weight = torch.randn(images, ins, rows, columns), torch.randn(outs, ins, 3, 3)
    gradient, bias = torch.randn(images, outs, rows, columns), torch.randn(outs)
    spoilt = spoil(draw, x)
    found = kernel.forward(x, weight, bias), kernel.to_input(gradient, weight), kernel.to_weight(x, gradient)
    doubled, wide = x.double().requires_grad_(), weight.double().requires_grad_()
    y = nn.functional.conv2d(doubled, wide, bias.double(), padding=1)
    exact = (y.detach(), *torch.autograd.grad(y, (doubled, wide), gradient.double()))
    told = (
        difference(*both, 3e-5, spoilt=spoilt and at != 1)
        for at, both in enumerate(zip(found, exact, strict=True))
    )
    return "".join(told)


def frozen_convolutions(draw: Random) -> str:
    kernel = FROZEN.native(SINGLE)
    assert kernel is not None, FROZEN.why_not(SINGLE)
    images, ins, outs = side(draw, 4), draw.randint(16, 70), draw.randint(16, 70)
    rows, columns = side(draw, 30), side(draw, 60)
    last = torch.channels_last
    x = torch.randn(images, ins, rows, columns)
    spoilt = spoil(draw, x)
    weight, bias = torch.randn(outs, ins, 3, 3), torch.randn(outs)
    add, relu = draw.random() < 0.5, draw.random() < 0.5
    added = torch.randn(images, outs, rows, columns).contiguous(memory_format=last) if add else None
    found = kernel.convolve(x.contiguous(memory_format=last), kernel.spread(weight, bias), added, relu=relu)
    exact = nn.functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    exact = exact if added is None else exact + added
    return difference(found, exact.relu() if relu else exact, 3e-5, spoilt=spoilt)


def decoders(draw: Random) -> str:
    assert DOUBLINGS.native(SINGLE) is not None, DOUBLINGS.why_not(SINGLE)
    ins = channels = side(draw, 40)
    made: list[nn.Module] = []
    for _ in range(draw.randint(1, 4)):
        out = draw.choice([side(draw, 40), draw.randint(16, 40)])
        filters = min(channels, out) >= 16 and draw.random() < 0.5
        made.append(
            nn.Conv2d(channels, out, 3, padding=1) if filters else nn.ConvTranspose2d(channels, out, 2, 2)
        )
        made += draw.choice([[], [nn.ReLU()], [] if filters else [nn.Tanh()]])
        channels = out
    x = torch.randn(side(draw, 4), ins, side(draw, 14), side(draw, 14))
    spoilt = spoil(draw, x)
    found, exact = run_layers(x, made), nn.Sequential(*made).double()(x.double())
    return "" if found is None else difference(found, exact, 3e-5, spoilt=spoilt)


def blocks(draw: Random) -> str:
    images, channels, rows, columns = side(draw, 4), side(draw, 40), side(draw, 40), side(draw, 40)
    made, into = [], channels
    for _ in range(draw.randint(1, 3)):
        out, width = draw.choice([into, side(draw, 50)]), draw.choice([0, side(draw, 150)])
        made.append(of_blocks.block(into, width, out, draw.choice([3, 5]), draw.choice([1, 2])))
        into = out
    x = torch.randn(images, channels, rows, columns)
    spoilt = spoil(draw, x)
    given = x.transpose(2, 3).contiguous().transpose(2, 3) if draw.random() < 0.3 else x
    return difference(run_blocks(given, made), of_blocks.exactly(x, made), 1e-5, spoilt=spoilt)


def similarities(draw: Random) -> str:
    images, channels, rows, columns = side(draw, 3), side(draw, 3), side(draw, 40), side(draw, 90)
    x, y = torch.rand(2, images, channels, rows, columns).unbind()
    spoilt = spoil(draw, x)
    window = draw.choice([1, 3, 7, 11])
    found = structural_similarity_map(x, y, window=window)
    down, across = (gaussian(min(window, length), 1.5).double() for length in (rows, columns))
    a, b = x.double().flatten(0, 1)[:, None], y.double().flatten(0, 1)[:, None]
    weights = (down[:, None] * across)[None, None]
    mean_a, mean_b, squares, product = (
        nn.functional.conv2d(each, weights) for each in (a, b, a * a + b * b, a * b)
    )
    means, squared = mean_a * mean_b, mean_a.square() + mean_b.square()
    exact = (2 * means + 1e-4) / (squared + 1e-4)
    exact = exact * (2 * (product - means) + 9e-4) / ((squares - squared).clamp_min(0) + 9e-4)
    exact = exact.unflatten(0, (images, channels))[:, :, 0].mean(dim=1, keepdim=True)
    return difference(found, exact, 3e-5, spoilt=spoilt)


def distances(draw: Random) -> str:
    kernel = DISTANCES.native(SINGLE)
    assert kernel is not None, DISTANCES.why_not(SINGLE)
    images, dimensions = side(draw, 3), side(draw, 40)
    positions = draw.choice([side(draw, 60), draw.randint(4090, 4110)])
    planes, x = torch.randn(dimensions, dimensions, positions), torch.randn(images, dimensions, positions)
    spoilt = spoil(draw, x)
    lower = torch.ones(dimensions, dimensions).tril().bool()[..., None]
    whitened = torch.zeros(images, dimensions, positions, dtype=torch.float64)
    for at in range(dimensions):
        whitened[:, at] = (planes[at, : at + 1].double() * x[:, : at + 1].double()).sum(dim=1)
    planes = torch.where(lower, planes, torch.nan)  # nobody may read what lies above the diagonal
    return difference(kernel(planes, x), whitened.square().sum(dim=1).sqrt(), 1e-5, spoilt=spoilt)


def features(draw: Random) -> str:
    kernel = NORMALISATION.native(SINGLE)
    assert kernel is not None, NORMALISATION.why_not(SINGLE)
    channels, rows, columns = side(draw, 150), side(draw, 12), side(draw, 12)
    x = torch.randn(side(draw, 4), channels, rows, columns)
    spoilt = spoil(draw, x)
    own = draw.choice([(channels, 1, 1), (channels, rows, columns)])
    mean, scale, matrix = torch.randn(own), 0.1 + torch.rand(own), torch.randn(side(draw, 140), channels)
    compress = draw.random() < 0.5
    found = kernel(x, kernel.pack(mean, scale, matrix), compress=compress)
    wide = x.double().abs().log1p().copysign(x) if compress else x.double()
    exact = torch.einsum("kc,nchw->nkhw", matrix.double(), (wide - mean) / scale)
    return difference(found, exact, 1e-5, spoilt=spoilt)


def couplings(draw: Random) -> str:
    channels, hidden = draw.randint(2, 40), side(draw, 140)
    kernels = draw.choice([(3, 1), (1, 1), (3, 3), (1, 3), (5, 1)])
    rows, columns = draw.choice([(8, 1), (1, 8), (3, 3), (4, 4), (9, 5), (2, 20), (12, 12)])
    made = of_couplings.flow(channels, hidden, kernels)
    x = torch.randn(side(draw, 3), channels, rows, columns)
    spoilt = spoil(draw, x)
    found, exact = made.transform(x), of_torch(lambda: made.transform(x))
    pairs = zip(found, exact, strict=True)
    return "".join(difference(one, other.double(), 2e-5, spoilt=spoilt) for one, other in pairs)


def networks(draw: Random) -> str:
    told = ""
    for precision in (SINGLE, HALF):
        kernel = COUPLING.native(precision)
        if kernel is None:
            continue
        rank = draw.choice([2, 3])
        size = tuple(side(draw, 40 if rank == 2 else 12) for _ in range(rank))
        sizes = side(draw, 3), side(draw, 9), side(draw, 9), side(draw, 140), draw.random() < 0.5
        x, values, gradient = given = of_networks.whole_numbers(size, *sizes, seed=draw.randrange(1 << 30))
        found = of_networks.compiled(kernel, precision, *given)
        exact = of_networks.exactly(x, values, gradient)
        told += "".join(difference(*both, 0.0) for both in zip(found, exact, strict=True))
        x[(draw.randrange(len(x)), *(draw.randrange(length) for length in x.shape[1:]))] = torch.nan
        found = of_networks.compiled(kernel, precision, *given)
        told += "" if found[0].isnan().any() else "what is not a number is hidden"
    return told


def of_torch(run: Callable[[], Tensor]) -> Tensor:
    os.environ[SWITCH] = "0"
    try:
        return run()
    finally:
        os.environ[SWITCH] = "1"


PRIVATE = (convolutions, frozen_convolutions, decoders, blocks, distances, features, networks)
KINDS = (*PRIVATE, similarities, couplings)
"""PRIVATE are those that leave the switch, which is the whole process's, alone."""


def ask(kind: Callable[[Random], str], seed: int, threads: int | None = None) -> bool:
    """Whether one call gives what it should."""
    draw = Random(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads or draw.choice([1, 2, 3, 7]))
    with torch.no_grad() if kind is not convolutions else torch.enable_grad():
        told = kind(draw)
    if told:
        print(f"{kind.__name__} {seed}: {told}", flush=True)
    return not told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="calls of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--callers", type=int, default=1, help="threads that call at once")
    parser.add_argument("--kinds", nargs="+", help="names of kinds, in place of all")
    given = parser.parse_args()
    os.environ[SWITCH] = "1"
    if os.environ.get("WATCHED_FORM"):
        import in_lengths  # noqa: F401
    seeds = range(given.seed, given.seed + given.count)
    good = True
    for kind in (kind for kind in KINDS if not given.kinds or kind.__name__ in given.kinds):
        if given.callers == 1:
            found = [ask(kind, seed) for seed in seeds]
        elif kind in PRIVATE:
            with ThreadPoolExecutor(given.callers) as callers:
                found = list(callers.map(partial(ask, kind, threads=2), seeds))
        else:
            continue
        print(f"{kind.__name__}: {sum(found)} of {len(found)} calls", flush=True)
        good &= all(found)
    sys.exit(not good)


if __name__ == "__main__":
    main()
