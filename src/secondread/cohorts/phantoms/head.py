"""A drawn head as a volume: skull, brain, ventricles and folds, with a lesion where one is asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SPACING = (5.0, 3.2, 3.2)
"""Millimetres between neighbours along (slice, row, column)."""

Field = NDArray[np.float64]


def draw_head(
    size: tuple[int, ...],
    finding: str,
    body: np.random.Generator,
    exposure: np.random.Generator,
    *,
    lateral: bool = False,
    contrast: float = 1.0,
) -> tuple[Field, NDArray[np.bool_]]:
    """Voxels `[slice, row, column]` in 0 … 1 and the lesion's mask.

    `body` draws the anatomy and the lesion, `exposure` position, intensity scale and noise. finding:
    `haemorrhage` (small, bright, sharp), `oedema` (wider, darker, soft) or empty. A head has no
    lateral view.
    """
    if lateral:
        raise ValueError("a head volume has no lateral view")
    z, y, x = _posed_grid(size, exposure)
    rz, ry, rx = body.uniform(0.78, 0.9), body.uniform(0.74, 0.86), body.uniform(0.62, 0.74)
    radius = np.sqrt((z / rz) ** 2 + (y / ry) ** 2 + (x / rx) ** 2)
    head, brain = _soft(radius - 1), _soft(radius - body.uniform(0.83, 0.87))
    skull = head * (1 - brain)

    folds = ndimage.gaussian_filter(exposure.standard_normal(size), (0.8, 1.4, 1.4))
    folds *= body.uniform(0.02, 0.04) / folds.std()
    grey = np.exp(-(((radius - 0.76) / 0.06) ** 2))
    gap, length = body.uniform(0.09, 0.14), body.uniform(0.22, 0.34)
    ventricles = sum(
        _soft(np.sqrt((z / 0.25) ** 2 + (y / length) ** 2 + ((x - side * gap) / 0.07) ** 2) - 1, 0.12)
        for side in (-1, 1)
    )
    volume = 0.75 * skull + brain * (0.42 + 0.07 * grey + folds) - 0.25 * np.clip(ventricles, 0, 1) * brain

    mask = np.zeros(size, dtype=bool)
    if finding:
        change, mask = _lesion(finding, size, radius, body)
        volume = volume + contrast * change * brain
    gain, offset, gamma = exposure.uniform(0.6, 1.0), exposure.uniform(0, 0.06), exposure.uniform(0.8, 1.25)
    noise = exposure.standard_normal(size) * exposure.uniform(0.006, 0.014)
    return np.clip(offset + gain * np.clip(volume, 0, 1) ** gamma + noise, 0, 1), mask


def _posed_grid(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Field, Field, Field]:
    """Head coordinates of every voxel for a head that lies a little elsewhere, turned in the axial plane."""
    axes = [np.linspace(-1, 1, n) - rng.uniform(-0.1, 0.1) for n in size]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    angle = rng.normal(0, np.radians(5.0))
    turned_y, turned_x = np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y
    scale = rng.uniform(0.92, 1.08, 3)
    return z / scale[0], turned_y / scale[1], turned_x / scale[2]


def _soft(distance: Field, width: float = 0.025) -> Field:
    """1 inside (distance < 0), 0 outside, with a soft edge."""
    inner: Field = 1 / (1 + np.exp(np.clip(distance / width, -30, 30)))
    return inner


def _lesion(
    finding: str, size: tuple[int, ...], radius: Field, rng: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    """What a lesion adds to the brain, and where it does so visibly; it lies off the skull."""
    inside = np.argwhere((radius < 0.6) & (radius > 0.25))
    centre = inside[int(rng.random() * len(inside))]
    grid = np.meshgrid(*[np.arange(n, dtype=np.float64) for n in size], indexing="ij")
    millimetres = [(g - c) * s * stretch for g, c, s, stretch in zip(
        grid, centre, SPACING, rng.uniform(0.85, 1.15, 3), strict=True)]  # fmt: skip
    scale = size[1] / 64
    distance = np.sqrt(sum(m**2 for m in millimetres)) / scale
    if finding == "haemorrhage":
        edge, strength, width = rng.uniform(10, 15), rng.uniform(0.2, 0.3), 1.0
    else:
        edge, strength, width = rng.uniform(14, 20), -rng.uniform(0.16, 0.22), 2.0
    profile = _soft(distance - edge, width)
    return strength * profile, profile > 0.5
