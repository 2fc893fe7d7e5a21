"""Poisson blending against scipy's sparse solver of the same system: error and time for each patch.

    python benchmarks/speed/poisson.py [--patches N] [--picture FILE.png]

Patches are boxes as `pii` draws them in 256×256 and in 64×64×64, and balls within boxes of those sizes, which
are no boxes. scipy's time is that of building the matrix from arrays and of `spsolve`; in volumes its
factorisation fills up, so its patches are fewer. The error is the largest difference, in grey levels of 255,
over all patches. Where OpenCV is installed its seamlessClone is timed on the boxes of images, in 8 bits and
three channels, as it wants them. One thread. `--picture` shows a box of one phantom film in another: pasted,
by seamlessClone, and by ours, with what each changed.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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


def by_opencv(x: Values, d: Values, inside: NDArray[np.bool_]) -> tuple[float, Values]:
    """Seconds, and the image in [0, 1]."""
    import cv2  # no dependency: measured where it is

    one, other = (np.repeat((255 * image)[..., None].astype(np.uint8), 3, axis=2) for image in (x, d))
    mask = 255 * inside.astype(np.uint8)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    middle = (int(columns[0] + columns[-1] + 1) // 2, int(rows[0] + rows[-1] + 1) // 2)
    made = []
    spent = seconds(lambda: made.append(cv2.seamlessClone(other, one, mask, middle, cv2.NORMAL_CLONE)))
    return spent, made[0][..., 0] / 255


def picture(file: Path) -> None:
    import matplotlib.pyplot as plt

    from secondread.cohorts.manifest import Manifest
    from secondread.cohorts.phantoms.make import make_phantoms
    from secondread.preprocessing.prepare import prepare_many
    from secondread.preprocessing.preprocessing import Preprocessing
    from secondread.preprocessing.preprocessing_settings import PreprocessingSettings

    with tempfile.TemporaryDirectory() as folder:
        made = make_phantoms(Path(folder), seed=0, n_normal=2, n_abnormal=0, n_test_normal=0, size=(256, 256))
        manifest = Manifest.read(made)
        how = Preprocessing(PreprocessingSettings(size=(256, 256)))
        films = prepare_many([manifest.reference(row) for row in manifest.rows], how, workers=0)
        x, d = (film.pixels[0].astype(np.float64) for film in films)
    inside = np.zeros(x.shape, dtype=bool)
    inside[70:150, 40:120] = True
    given = [torch.from_numpy(values)[None, None] for values in (x, d, inside)]
    ours = blended(*given, torch.tensor([0.0]), torch.tensor([1.0]), torch.tensor([False]))[0, 0].numpy()
    shown = {"film": x, "another film": d, "pasted": np.where(inside, d, x)}
    if importlib.util.find_spec("cv2"):
        shown["seamlessClone"] = by_opencv(x, d, inside)[1]
    shown["ours"] = ours
    figure, axes = plt.subplots(2, len(shown), figsize=(3 * len(shown), 6.4))
    for column, (name, values) in enumerate(shown.items()):
        axes[0, column].imshow(values, cmap="gray", vmin=0, vmax=1)
        axes[0, column].set_title(name)
        axes[1, column].imshow(values - x, cmap="coolwarm", vmin=-0.3, vmax=0.3)
        axes[1, column].set_title("change" if column else "")
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(file, dpi=60)


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
            opencv.append(by_opencv(x, d, inside)[0])
    print(
        f"{'×'.join(map(str, size)):>9} {shape:>4}  {np.mean(counts):7.0f} positions  "
        f"ours {1e3 * np.mean(ours):7.2f} ms  scipy {1e3 * np.mean(theirs):8.2f} ms  "
        f"error {max(errors):.1e} grey levels"
        + (f"  OpenCV {1e3 * np.mean(opencv):.2f} ms" if opencv else "")
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--patches", type=int, default=40, help="of images; a quarter of it of volumes")
    arguments.add_argument("--picture", type=Path, help="write this picture and measure nothing")
    given = arguments.parse_args()
    patches = given.patches
    torch.set_num_threads(1)
    if given.picture:
        picture(given.picture)
        return
    for size, share in (((256, 256), 1), ((64, 64, 64), 4)):
        for shape in ("box", "ball"):
            measure(size, shape, max(1, patches // share))


if __name__ == "__main__":
    main()
