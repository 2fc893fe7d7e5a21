"""Align: every image to the mean normal image, by an affine transform that normals have taught.

The mean normal image is found together with the transforms (mean, align to it, mean again), with the mean
transform kept at identity after each round, so that the normals as a whole do not drift or grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import radians
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from secondread.errors import UserError
from secondread.preprocessing.alignment.registration import BLURS, Bounds, Template, blurred, standardised
from secondread.preprocessing.alignment.warp import Matrix, inside_of, inverse, unit_frame, warp
from secondread.preprocessing.colour import to_grey
from secondread.preprocessing.resample import resize
from secondread.settings.base import Count, Draws, Settings

STIFFER = 10.0
"""How much more an image that went astray is pulled towards no motion at its second try."""


class Alignment(Settings):
    """How far an image may be moved, and how the mean normal image is found.

    max_rotation  degrees
    max_scale     factor along any direction, larger or smaller (bounds shear too)
    max_shift     share of the longest side
    stiffness     pull towards no motion; 0 = none
    resolution    longest side of the small image on which transforms are found; None = 64, volumes 32
    rounds        of mean and alignment on the normals
    most_normals  drawn for the mean normal image where there are more
    """

    max_rotation: float = Field(20.0, gt=0.0, le=90.0)
    max_scale: float = Field(1.4, gt=1.0, le=3.0)
    max_shift: float = Field(0.2, gt=0.0, le=0.5)
    stiffness: float = Field(0.3, ge=0.0)
    resolution: int | None = Field(None, ge=1, le=256)
    rounds: Draws = 3
    most_normals: Count = 500


class Align(Settings):
    align: Alignment = Alignment()


@dataclass(frozen=True)
class Aligned:
    """What became of one image: see Placement for `matrix`, `outcome` and `similarity`."""

    matrix: Matrix | None
    outcome: str
    similarity: tuple[float, float]


class Aligner:
    """Finds and applies transforms to the mean normal image of one prepared grid `size`."""

    def __init__(self, settings: Alignment, size: Sequence[int], mean: NDArray[np.float32]) -> None:
        self.settings = settings
        self.size = tuple(size)
        self.mean = mean
        """The mean normal image, float32 `[*small]`, in standard deviations."""
        self._template = Template(mean, self.size, settings.stiffness)
        self._stiff_template = Template(mean, self.size, STIFFER * max(settings.stiffness, 0.1))

    @classmethod
    def fit(cls, settings: Alignment, size: Sequence[int], normals: Iterable[NDArray[np.float32]]) -> Self:
        """From the normals' prepared pixels `[C, *size]`, read once.

        Raises UserError where there is none, or none that shows anything.
        """
        drawn = list(_drawn(settings, size, normals))
        small = [image for image in drawn if image.any()]
        if not small:
            of = f"all {len(drawn)} of them are of one value throughout" if drawn else "there is none"
            raise UserError(
                f"align finds the mean of prepared normal images, and {of}; look at preprocessing.steps: a "
                "window that lies beside the images' values leaves nothing"
            )
        bounds = _bounds(settings)
        transforms = [np.eye(len(size) + 1)] * len(small)
        mean = np.asarray(np.mean(small, axis=0, dtype=np.float64), np.float32)
        for _ in range(settings.rounds):
            template = Template(mean, tuple(size), settings.stiffness)
            transforms = [
                bounds.clip(template.register(image, start))[0]
                for image, start in zip(small, transforms, strict=True)
            ]
            drift = inverse(np.mean(transforms, axis=0))
            transforms = [transform @ drift for transform in transforms]
            mean = _mean_of(small, transforms, size)
        return cls(settings, size, mean)

    @classmethod
    def from_state(
        cls, settings: Alignment, size: Sequence[int], arrays: Mapping[str, NDArray[np.float32]]
    ) -> Self:
        mean = arrays["align_mean"]
        expected = small_size(settings, size)
        if mean.shape != expected:
            raise ValueError(f"the mean normal image has size {mean.shape}, and the settings give {expected}")
        if not np.isfinite(mean).all():
            raise ValueError("the mean normal image is not finite")
        return cls(settings, size, np.ascontiguousarray(mean, np.float32))

    def state(self) -> dict[str, NDArray[np.float32]]:
        return {"align_mean": self.mean}

    def find(self, pixels: NDArray[np.float32]) -> Aligned:
        """The index matrix that brings `[C, *size]` onto the mean normal image.

        An image that went astray (to the bounds, or away from the mean) is tried once more with more pull
        towards no motion. It is never thrown away: where no transform within the bounds makes it more like
        the mean it stays in place, and the outcome says so.
        """
        small = small_version(self.settings, pixels)
        images = [blurred(small, blur) for blur in BLURS]
        rest = np.eye(len(self.size) + 1)
        before = self._template.similarity(images[-1], rest)
        if not small.any():
            return Aligned(None, "left in place: the image is constant", (before, before))
        transform, bounded = _bounds(self.settings).clip(self._template.register_blurred(images))
        after = self._template.similarity(images[-1], transform)
        if bounded or not after > before:
            stiff, stiff_bounded = _bounds(self.settings).clip(self._stiff_template.register_blurred(images))
            stiff_after = self._template.similarity(images[-1], stiff)
            if stiff_after > after or (bounded and not stiff_bounded and stiff_after > before):
                transform, bounded, after = stiff, stiff_bounded, stiff_after
        if not after > before:
            return Aligned(None, "left in place: moving brought it no nearer to the mean", (before, before))
        frame = unit_frame(self.size)
        matrix = inverse(frame) @ transform @ frame
        return Aligned(matrix, "bounded" if bounded else "aligned", (before, after))

    def move(
        self, pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None, matrix: Matrix
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Pixels `[C, *size]` and validity after the transform.

        Cubic splines keep the image as sharp as it was; values stay within the image's own range. What
        the image does not reach takes the values of its edge and is not valid.
        """
        repeated = pixels.shape[0] > 1 and pixels.strides[0] == 0
        channels = pixels[:1] if repeated else pixels
        low, high = float(pixels.min()), float(pixels.max())
        moved = np.stack([warp(channel, matrix, order=3) for channel in channels])
        np.clip(moved, low, high, out=moved)
        reached = inside_of(self.size, matrix)
        if valid is not None:
            reached &= warp(valid.astype(np.float32), matrix, order=1) >= 0.5
        whole = np.broadcast_to(moved, pixels.shape) if repeated else moved
        return whole, None if reached.all() else reached


def small_size(settings: Alignment, size: Sequence[int]) -> tuple[int, ...]:
    longest = settings.resolution or (64 if len(size) == 2 else 32)
    return tuple(max(4, round(n * min(1.0, longest / max(size)))) for n in size)


def small_version(settings: Alignment, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[C, *size]` as a small grey image with mean 0 and standard deviation 1; zeros where it is constant."""
    grey = to_grey(pixels, "a prepared image")[0] if len(pixels) in (1, 3) else pixels.mean(axis=0)
    return standardised(resize(grey, small_size(settings, grey.shape)))


def _bounds(settings: Alignment) -> Bounds:
    return Bounds(radians(settings.max_rotation), settings.max_scale, 2.0 * settings.max_shift)


def _drawn(
    settings: Alignment, size: Sequence[int], normals: Iterable[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Small versions of at most `most_normals` of the normals: a reservoir sample with a fixed seed."""
    generator = np.random.default_rng(0)
    kept: list[NDArray[np.float32]] = []
    for count, pixels in enumerate(normals):
        place = count if count < settings.most_normals else int(generator.integers(count + 1))
        if place < settings.most_normals:
            image = small_version(settings, pixels)
            kept[place : place + 1] = [image]
    return kept


def _mean_of(
    images: Sequence[NDArray[np.float32]], transforms: Sequence[Matrix], size: Sequence[int]
) -> NDArray[np.float32]:
    """Mean of the moved images, each pixel over the images that reach it."""
    frame = unit_frame(images[0].shape, size)
    total = np.zeros(images[0].shape)
    count = np.zeros(images[0].shape)
    outside = np.zeros(images[0].shape)
    for image, transform in zip(images, transforms, strict=True):
        index = inverse(frame) @ transform @ frame
        moved = standardised(warp(image, index, order=1))
        reached = inside_of(image.shape, index)
        total += np.where(reached, moved, 0.0)
        count += reached
        outside += moved
    mean = np.where(count > 0, total / np.maximum(count, 1.0), outside / len(images))
    return mean.astype(np.float32)
