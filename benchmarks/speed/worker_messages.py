"""Prepared images per second that one worker process sends, beside the same work without a process.

    OMP_NUM_THREADS=1 python benchmarks/speed/worker_messages.py [--size 256]

Only the ratio tells: what is made costs next to nothing, so it is the worst case for the way of sending.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import worker_messages  # by its name, not as __main__, so that workers can import it

from secondread.images.image import Geometry
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done
from secondread.preprocessing.grid import fit_grid
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepared import Prepared


def made_up(number: int, shape: tuple[int, ...]) -> Prepared:
    """A prepared image."""
    grid = fit_grid(shape[1:], shape[1:], "stretch")
    return Prepared(
        np.full(shape, number, np.float32),
        None,
        Placement(grid, Geometry()),
        f"{number:040x}",
        f"{number:040x}",
        {"mode": "grey"},
    )


def seconds_each(task: Callable[[int], Prepared], count: int, workers: int) -> float:
    """The best of three."""
    best = float("inf")
    for _ in range(3):
        results = map_in_workers(task, range(count), workers=workers)
        next(results)
        start = time.perf_counter()
        received = sum(isinstance(result, Done) for result in results)
        best = min(best, (time.perf_counter() - start) / received)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    size = parser.parse_args().size
    print(f"{'from one worker':18}{'images/s':>10}{'GB/s':>8}{'times the rate without':>25}")
    for name, shape, count in (("film", (1, size, size), 2000), ("volume", (1, 128, 128, 128), 100)):
        task = partial(worker_messages.made_up, shape=shape)
        there, here = (seconds_each(task, count, workers) for workers in (1, 0))
        bytes_each = 4 * int(np.prod(shape))
        print(f"{name:18}{1 / there:10.0f}{bytes_each / there / 1e9:8.2f}{here / there:25.3f}")


if __name__ == "__main__":
    main()
