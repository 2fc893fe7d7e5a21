"""Affine registration of one small image to a template: inverse-compositional Gauss–Newton.

S. Baker, I. Matthews: Lucas–Kanade 20 years on: a unifying framework. IJCV 56 (2004), sections 3.2 and 4;
gain and offset of the intensities are projected out (part 3 of the same series), so that what is maximised
is the correlation with the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from secondread.preprocessing.alignment.warp import Matrix, inverse, unit_frame, warp_inside

BLURS = (3.0, 1.5, 0.75)
"""Standard deviations, in pixels of the small image, from coarse to fine."""

ROUNDS = (12, 12, 12)
"""Most Gauss–Newton steps at each blur."""

STILL = 1e-3
"""A step that moves no corner by more than this share of half the longest side ends its blur."""


@dataclass(frozen=True)
class Bounds:
    """How far a transform may go: radians, factor along any direction, and share of half the longest side."""

    rotation: float
    scale: float
    shift: float

    def clip(self, transform: Matrix) -> tuple[Matrix, bool]:
        """The nearest transform within the bounds, and whether it had to be changed.

        The linear part is split into a rotation and a symmetric stretch (polar decomposition), so shear
        is bounded with the scales.
        """
        rank = len(transform) - 1
        left, stretch, right = np.linalg.svd(transform[:rank, :rank])
        turn = left @ right
        if np.linalg.det(turn) < 0:
            return np.eye(rank + 1), True
        kept_stretch = np.clip(stretch, 1.0 / self.scale, self.scale)
        angle = _angle(turn)
        kept_turn = turn if angle <= self.rotation else _turned_by(turn, self.rotation / angle)
        clipped = np.eye(rank + 1)
        clipped[:rank, :rank] = kept_turn @ (right.T * kept_stretch) @ right
        clipped[:rank, rank] = np.clip(transform[:rank, rank], -self.shift, self.shift)
        return clipped, not np.allclose(clipped, transform, atol=1e-9)


def _angle(turn: Matrix) -> float:
    if len(turn) == 2:
        return abs(float(np.arctan2(turn[1, 0], turn[0, 0])))
    from scipy.spatial.transform import Rotation

    return float(Rotation.from_matrix(turn).magnitude())


def _turned_by(turn: Matrix, share: float) -> Matrix:
    if len(turn) == 2:
        angle = share * np.arctan2(turn[1, 0], turn[0, 0])
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(share * Rotation.from_matrix(turn).as_rotvec()).as_matrix())


@dataclass(frozen=True)
class Level:
    """What a template gives once for all images at one blur: itself, its steepest-descent images, and the
    inverse of the normal equations' matrix with the pull towards no motion."""

    template: NDArray[np.float32]
    flat: NDArray[np.float64]
    descent: NDArray[np.float64]
    solver: NDArray[np.float64]


class Template:
    """A mean image that others are registered to.

    image      float32 `[*small]`, a small version of the prepared grid
    full_size  the prepared grid's size
    stiffness  weight of the pull towards no motion, against one unit of correlation per pixel
    """

    def __init__(self, image: NDArray[np.float32], full_size: tuple[int, ...], stiffness: float) -> None:
        self.image = image
        self.full_size = full_size
        self.stiffness = stiffness
        self._frame = unit_frame(image.shape, full_size)
        self._back = inverse(self._frame)
        pull = stiffness * image.size
        self._levels = [_level(standardised(blurred(image, blur)), self._frame, pull) for blur in BLURS]

    def register(self, image: NDArray[np.float32], start: Matrix | None = None) -> Matrix:
        """The transform A (unit_frame coordinates, homogeneous) for which image(A·u) is most like the
        template(u). `image` is float32 `[*small]`."""
        return self.register_blurred([blurred(image, blur) for blur in BLURS], start)

    def register_blurred(self, images: Sequence[NDArray[np.float32]], start: Matrix | None = None) -> Matrix:
        """`register` of an image given under each of `BLURS`."""
        transform = np.eye(images[0].ndim + 1) if start is None else start.copy()
        for image, rounds, level in zip(images, ROUNDS, self._levels, strict=True):
            transform = self._descend(image, level, rounds, transform)
        return transform

    def similarity(self, image: NDArray[np.float32], transform: Matrix) -> float:
        """Correlation of image(A·u) with the template(u) over the pixels that the image covers; the image
        is given under the last of `BLURS`."""
        level = self._levels[-1]
        moved, inside = self._moved(image, transform)
        if np.count_nonzero(inside) < 0.25 * inside.size:
            return -1.0
        a, b = standardised(moved[inside]), standardised(level.template[inside])
        return float(np.mean(a * b, dtype=np.float64))

    def _moved(
        self, image: NDArray[np.float32], transform: Matrix
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return warp_inside(image, self._back @ transform @ self._frame)

    def _descend(self, image: NDArray[np.float32], level: Level, rounds: int, transform: Matrix) -> Matrix:
        rank = image.ndim
        pull = self.stiffness * image.size
        rest = np.eye(rank + 1)
        change = np.eye(rank + 1)
        for _ in range(rounds):
            moved, inside = self._moved(image, transform)
            offset = (transform - rest)[:rank].reshape(-1)
            residual = _residual(moved.reshape(-1), inside.reshape(-1), level.flat)
            step = level.solver @ (level.descent @ residual + pull * offset)
            change[:rank] = rest[:rank] + step.reshape(rank, rank + 1)
            transform = transform @ inverse(change)
            if np.abs(step).sum() < STILL * rank:
                break
        return transform


def _residual(
    moved: NDArray[np.float32], inside: NDArray[np.bool_], template: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The moved image, which is 0 outside, standardised over the inside, less the template; 0 outside."""
    count = max(1, int(np.count_nonzero(inside)))
    mean = float(moved.sum(dtype=np.float64)) / count
    centred = moved.astype(np.float64) - mean
    centred *= inside
    deviation = float(np.sqrt(centred @ centred / count))
    if deviation <= 1e-6 * max(abs(mean), 1e-6):
        return -template * inside
    centred *= 1.0 / deviation
    centred -= template * inside
    return np.asarray(centred, np.float64)


def blurred(image: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """Gaussian blur of every axis, edges repeated, as products with a matrix."""
    for axis, length in enumerate(image.shape):
        image = np.moveaxis(np.tensordot(_blur_matrix(length, blur), image, (1, axis)), 0, axis)
    return np.ascontiguousarray(image, np.float32)


@lru_cache(maxsize=32)
def _blur_matrix(length: int, blur: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(np.eye(length), blur, axis=0, mode="nearest"), np.float32)


def standardised(values: NDArray[np.float32], over: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Mean 0 and standard deviation 1 (over the given pixels); constant values become 0."""
    sample = values if over is None else values[over]
    if sample.size == 0:
        return np.zeros_like(values)
    mean = sample.mean(dtype=np.float64)
    deviation = sample.std(dtype=np.float64)
    if deviation <= 1e-6 * max(abs(mean), 1e-6):
        return np.zeros_like(values)
    return ((values - mean) / deviation).astype(np.float32)


def _level(template: NDArray[np.float32], frame: Matrix, pull: float) -> Level:
    rank = template.ndim
    flat = template.reshape(-1).astype(np.float64)
    positions = np.stack(
        [
            (frame[axis, axis] * index + frame[axis, rank]).reshape(-1)
            for axis, index in enumerate(np.indices(template.shape))
        ]
        + [np.ones(template.size)]
    )
    slopes = np.stack(
        [g.reshape(-1) / frame[a, a] for a, g in enumerate(np.gradient(template.astype(np.float64)))]
    )
    descent = (slopes[:, np.newaxis] * positions[np.newaxis]).reshape(rank * (rank + 1), -1)
    descent -= descent.mean(axis=1, keepdims=True)
    if flat.any():
        descent -= np.outer(descent @ flat, flat) / (flat @ flat)
    system = descent @ descent.T + pull * np.eye(len(descent))
    return Level(template, flat, descent, inverse(system))
