"""Poisson blending against scipy's sparse solver of the same system: error and time for each patch.

    python benchmarks/speed/poisson.py [--patches N]

Patches are boxes as `pii` draws them in 256×256 and in 64×64×64, and balls within boxes of those sizes, which
are no boxes. scipy's time is that of building the matrix from arrays and of `spsolve`; in volumes its
factorisation fills up, so its patches are fewer. The error is the largest difference, in grey levels of 255,
over all patches. Where OpenCV is installed its seamlessClone is timed on the boxes of images, in 8 bits and
three channels, as it wants them. One thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve

from secondread.anomalies.poisson import blended

Values = NDArray[np.float64]


def by_scipy(x: Values, d: Values, inside: NDArray[np.bool_], alpha: float) -> Values:
    """The system of `blended` with the sum of both weighted gradients."""
    number = np.full(x.shape, -1)
    number[inside] = np.arange(inside.sum())
    places = np.argwhere(inside)
    right = np.zeros(len(places))
    rows = [np.arange(len(places))]
    columns, entries = [np.arange(len(places))], [np.full(len(places), 2.0 * x.ndim)]
    for axis, step in itertools.product(range(x.ndim), (-1, 1)):
        q = places.copy()
        q[:, axis] += step
        there = tuple(q.T)
        right += (1 - alpha) * (x[inside] - x[there]) + alpha * (d[inside] - d[there])
        known = ~inside[there]
        right[known] += x[there][known]
        rows.append(np.flatnonzero(~known))
        columns.append(number[there][~known])
        entries.append(np.full((~known).sum(), -1.0))
    of = (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns)))
    solved = x.copy()
    solved[inside] = spsolve(csc_array(of, shape=(len(places), len(places))), right)
    return solved


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def region(size: tuple[int, ...], shape: str, random: np.random.Generator) -> NDArray[np.bool_]:
    half = round(random.uniform(0.05, 0.2) * size[0])
    centre = [int(random.uniform(0.1, 0.9) * n) for n in size]
    offsets = np.meshgrid(
        *(np.arange(n) - c for n, c in zip(size, centre, strict=True)), indexing="ij", sparse=True
    )
    if shape == "ball":
        found = np.sqrt(sum(offset**2 for offset in offsets)) < half
    else:
        found = np.logical_and.reduce(
            np.broadcast_arrays(*((offset >= -half) & (offset < half) for offset in offsets))
        )
    inner = np.zeros(size, dtype=bool)
    inner[(slice(1, -1),) * len(size)] = True
    return found & inner


def by_opencv(x: Values, d: Values, inside: NDArray[np.bool_]) -> float:
    import cv2  # no dependency: measured where it is

    one, other = (np.repeat((255 * image)[..., None].astype(np.uint8), 3, axis=2) for image in (x, d))
    mask = 255 * inside.astype(np.uint8)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    middle = (int(columns[0] + columns[-1] + 1) // 2, int(rows[0] + rows[-1] + 1) // 2)
    return seconds(lambda: cv2.seamlessClone(other, one, mask, middle, cv2.NORMAL_CLONE))


def measure(size: tuple[int, ...], shape: str, patches: int) -> None:
    random = np.random.default_rng(0)
    ours, theirs, opencv, errors, counts = [], [], [], [], []
    for _ in range(patches):
        x, d = random.random(size), random.random(size)
        inside = region(size, shape, random)
        alpha = float(random.uniform(0.05, 0.95))
        given = [torch.from_numpy(values)[None, None] for values in (x, d, inside)]
        weight, never = torch.tensor([alpha], dtype=torch.float64), torch.tensor([False])
        found: list[torch.Tensor] = []
        ours.append(seconds(lambda: found.append(blended(*given, 1 - weight, weight, never))))  # noqa: B023
        solved: list[Values] = []
        theirs.append(seconds(lambda: solved.append(by_scipy(x, d, inside, alpha))))  # noqa: B023
        errors.append(255 * float(np.abs(found[0][0, 0].numpy() - solved[0]).max()))
        counts.append(int(inside.sum()))
        if shape == "box" and len(size) == 2 and importlib.util.find_spec("cv2"):
            opencv.append(by_opencv(x, d, inside))
    print(
        f"{'×'.join(map(str, size)):>9} {shape:>4}  {np.mean(counts):7.0f} positions  "
        f"ours {1e3 * np.mean(ours):7.2f} ms  scipy {1e3 * np.mean(theirs):8.2f} ms  "
        f"error {max(errors):.1e} grey levels"
        + (f"  OpenCV {1e3 * np.mean(opencv):.2f} ms" if opencv else "")
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--patches", type=int, default=40, help="of images; a quarter of it of volumes")
    patches = arguments.parse_args().patches
    torch.set_num_threads(1)
    for size, share in (((256, 256), 1), ((64, 64, 64), 4)):
        for shape in ("box", "ball"):
            measure(size, shape, max(1, patches // share))


if __name__ == "__main__":
    main()
