"""A drawn chest film: body, lungs, ribs, heart, spine and vessels, with a lesion where one is asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float64]


def draw_chest(
    size: tuple[int, ...],
    finding: str,
    body: np.random.Generator,
    exposure: np.random.Generator,
    *,
    lateral: bool = False,
    contrast: float = 1.0,
) -> tuple[Field, NDArray[np.bool_]]:
    """Pixels `[row, column]` in 0 … 1 (bone is bright) and the lesion's mask.

    `body` draws the anatomy and the lesion, the same for all images of a patient; `exposure` draws
    position, exposure and noise. finding: `nodule` (small, round, sharp), `opacity` (wide, blurred,
    mottled) or empty.
    """
    rows, columns = size
    y, x = _posed_grid(rows, columns, exposure)
    anatomy = _lateral(x, y, body) if lateral else _frontal(x, y, body)
    film, lungs = anatomy
    film = film + lungs * _vessels(size, body, exposure)

    mask = np.zeros(size, dtype=bool)
    if finding:
        lesion, mask = _lesion(finding, lungs, body, exposure)
        film = film + contrast * lesion
    return _expose(film, exposure), mask


def _posed_grid(rows: int, columns: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """Body coordinates (−1 … 1 over the film) of every pixel, for a person who stands a little elsewhere."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    angle = rng.normal(0, np.radians(3.0))
    scale_y, scale_x = rng.uniform(0.9, 1.2, 2)
    x, y = x - rng.uniform(-0.14, 0.14), y - rng.uniform(-0.14, 0.14)
    turned_x = (np.cos(angle) * x + np.sin(angle) * y) / scale_x
    turned_y = (-np.sin(angle) * x + np.cos(angle) * y) / scale_y
    return turned_y, turned_x


def _soft(distance: Field, width: float = 0.04) -> Field:
    """1 inside (distance < 0), 0 outside, with a soft edge."""
    inner: Field = 1 / (1 + np.exp(np.clip(distance / width, -30, 30)))
    return inner


def _ellipse(x: Field, y: Field, cx: float, cy: float, rx: float, ry: float) -> Field:
    """Signed distance, roughly, in units of the smaller radius' film."""
    away: Field = (np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) - 1) * min(rx, ry)
    return away


def _frontal(x: Field, y: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    width, height = rng.uniform(0.26, 0.36), rng.uniform(0.52, 0.68)
    centre, dome = rng.uniform(0.36, 0.44), rng.uniform(0.35, 0.5)
    body = _soft(_ellipse(x, y, 0, 0.1, rng.uniform(0.84, 0.95), 1.25), 0.03)
    right = _soft(_ellipse(x, y, -centre, -0.05, width, height))
    left = _soft(_ellipse(x, y, centre, -0.05, width * 0.95, height))
    floor = _soft(y - dome - 0.35 * (np.abs(x) - centre) ** 2 * 4, 0.03)
    heart = _soft(
        _ellipse(x, y, rng.uniform(0.1, 0.18), 0.25, rng.uniform(0.24, 0.34), rng.uniform(0.26, 0.34))
    )
    lungs = np.clip(right + left, 0, 1) * floor * (1 - heart)

    spacing = rng.uniform(0.17, 0.21)
    slope = rng.uniform(0.35, 0.6)
    phase = (y + slope * (np.abs(x) - 0.3) ** 2 + rng.uniform(0, spacing)) / spacing
    ribs = 0.085 * np.exp(-(((phase % 1) - 0.5) ** 2) / 0.018)
    spine = 0.2 * _soft(np.abs(x) - 0.08, 0.02) * (1 + 0.15 * np.sin(2 * np.pi * y / 0.16))
    film = 0.62 * body - 0.34 * lungs + ribs * np.clip(right + left + 0.25, 0, 1) * body
    return film + (spine + 0.13 * heart) * body, lungs


def _lateral(x: Field, y: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    body = _soft(_ellipse(x, y, 0, 0.1, rng.uniform(0.66, 0.78), 1.25), 0.03)
    chest = _soft(_ellipse(x, y, 0, -0.05, rng.uniform(0.46, 0.56), rng.uniform(0.6, 0.72)))
    floor = _soft(y - rng.uniform(0.3, 0.45) - 0.3 * x, 0.03)
    heart = _soft(_ellipse(x, y, -0.2, 0.22, rng.uniform(0.24, 0.3), rng.uniform(0.22, 0.3)))
    lungs = chest * floor * (1 - heart)
    spine = (
        0.22 * _soft(np.abs(x - 0.5 - 0.15 * y**2) - 0.09, 0.02) * (1 + 0.2 * np.sin(2 * np.pi * y / 0.15))
    )
    spacing = rng.uniform(0.17, 0.21)
    phase = (y - rng.uniform(0.5, 0.8) * x + rng.uniform(0, spacing)) / spacing
    ribs = 0.06 * np.exp(-(((phase % 1) - 0.5) ** 2) / 0.018)
    return 0.62 * body - 0.32 * lungs + ribs * chest + (spine + 0.14 * heart) * body, lungs


def _vessels(size: tuple[int, ...], body: np.random.Generator, exposure: np.random.Generator) -> Field:
    """Fine, elongated lung markings, of a strength that differs between people and inspirations."""
    along, across = body.uniform(2.0, 3.5), body.uniform(0.7, 1.0)
    scale = min(size) / 128
    noise = exposure.standard_normal(size)
    markings = ndimage.gaussian_filter(noise, (along * scale, across * scale))
    strength = body.uniform(0.018, 0.035)
    drawn: Field = strength * markings / markings.std()
    return drawn


def _lesion(
    finding: str, lungs: Field, body: np.random.Generator, exposure: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    """What a lesion adds to the film, and where it does so visibly."""
    rows, columns = lungs.shape
    scale = min(rows, columns) / 128
    inside = np.argwhere(ndimage.minimum_filter(lungs, size=max(3, round(7 * scale))) > 0.6)
    cy, cx = inside[int(body.random() * len(inside))]
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    angle, stretch = body.uniform(0, np.pi), body.uniform(1.0, 1.35)
    across = np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)
    along = (-np.sin(angle) * (x - cx) + np.cos(angle) * (y - cy)) / stretch
    distance = np.hypot(across, along)
    if finding == "nodule":
        radius = body.uniform(3.5, 6.0) * scale
        profile = _soft(distance - radius, 0.6 * scale)
        strength = body.uniform(0.26, 0.36)
    else:
        radius = body.uniform(9.0, 14.0) * scale
        profile = np.exp(-0.5 * (distance / (0.62 * radius)) ** 2)
        mottle = ndimage.gaussian_filter(exposure.standard_normal(lungs.shape), 1.3 * scale)
        strength = body.uniform(0.2, 0.3)
        profile = profile * (1 + 0.3 * mottle / mottle.std())
    shape = _soft(distance - radius, 0.6 * scale)
    return strength * profile * np.clip(lungs + 0.2, 0, 1), (shape > 0.5) & (lungs > 0.3)


def _expose(film: Field, rng: np.random.Generator) -> Field:
    """Exposure, contrast and noise as a film of 0 … 1: these move the mean far more than a lesion does."""
    gain, offset = rng.uniform(0.65, 1.0), rng.uniform(0.0, 0.16)
    gamma = rng.uniform(0.75, 1.3)
    rows, columns = film.shape
    tilt = np.linspace(-1, 1, rows)[:, None] * rng.normal(0, 0.03) + np.linspace(-1, 1, columns) * rng.normal(
        0, 0.03
    )
    noise = rng.standard_normal(film.shape) * rng.uniform(0.006, 0.014)
    exposed: Field = np.clip(offset + gain * np.clip(film, 0, 1) ** gamma + tilt + noise, 0, 1)
    return exposed
