"""A prepared image in a few numbers, by which a change of scanners, settings or patients shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 4
NAMES = (
    "mean", "sd", "low", "high", "edges_1", "edges_2", "edges_4",
    *(f"cell_{row}{column}" for row in range(CELLS) for column in range(CELLS)),
)  # fmt: skip


def describe_image(pixels: NDArray[np.float32]) -> list[float]:
    """`NAMES` of a prepared image `[C, *size]`: mean, standard deviation and 1 % and 99 % quantiles of the
    first channel; log10 of its mean square difference between pixels 1, 2 and 4 apart along the last axis
    (1e-12 added); and its means in 4 × 4 cells of rows and columns, over all slices, less the mean, in
    standard deviations."""
    image = np.asarray(pixels[0], np.float64)
    mean, sd = float(image.mean()), float(image.std())
    low, high = np.quantile(image, [0.01, 0.99])
    edges = [
        float(np.log10(np.square(image[..., step:] - image[..., :-step]).mean() + 1e-12))
        if image.shape[-1] > step
        else -12.0
        for step in (1, 2, 4)
    ]
    plane = image.reshape(-1, *image.shape[-2:]).mean(0)
    cells = [
        (float(cell.mean()) - mean) / (sd or 1.0) if cell.size else 0.0
        for band in np.array_split(plane, CELLS, axis=0)
        for cell in np.array_split(band, CELLS, axis=1)
    ]
    return [mean, sd, float(low), float(high), *edges, *cells]
