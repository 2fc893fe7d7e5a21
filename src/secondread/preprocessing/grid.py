"""The prepared grid over a file's own grid: resample, then stretch, pad, crop or place to one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from secondread.images.image import Image, ImageError
from secondread.preprocessing.resample import apply_along_axes, triangle_weights
from secondread.settings.base import Settings

Fit = Literal["stretch", "pad", "crop", "place"]


class Spacing(Settings):
    """Millimetres between neighbours along each axis, in array order (slice, row, column)."""

    spacing: tuple[float, ...] = Field(min_length=2, max_length=3)


class Resample(Settings):
    """Bring every image to one spacing before it is fitted to the size, so that size means millimetres.

    Raises ImageError for a file that does not state its spacing.
    """

    resample: Spacing

    def factors(self, image: Image) -> tuple[float, ...]:
        """Array pixels per resampled pixel, along each axis."""
        spacing = image.geometry.spacing
        if spacing is None:
            raise ImageError(
                image.source,
                "does not state its pixel spacing, which the recipe's resample step needs",
                "leave resample out for such files, or give files with spacing",
            )
        return tuple(target / own for target, own in zip(self.resample.spacing, spacing, strict=True))


@dataclass(frozen=True)
class Grid:
    """Prepared pixel i lies at array index offset + scale · i along each axis (pixel centres at integers).

    size        of the prepared image
    array_size  of the image's array
    """

    size: tuple[int, ...]
    array_size: tuple[int, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def resample(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """`[C, *array_size]` to `[C, *size]`; outside of the array the values of its edge."""
        matrices = [
            None if (m, s, o) == (n, 1.0, 0.0) else triangle_weights(m, n, s, o)
            for m, n, s, o in zip(self.size, self.array_size, self.scale, self.offset, strict=True)
        ]
        return apply_along_axes(values, matrices)

    def cover(self, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask `[*array_size]` on `[*size]`: True where any marked pixel's centre falls into the prepared
        pixel, so that nothing marked is lost where the prepared grid is coarser; where it is finer, what the
        nearest pixel says; False outside of the array."""
        for axis, (m, n, scale, offset) in enumerate(
            zip(self.size, self.array_size, self.scale, self.offset, strict=True)
        ):
            centre = offset + scale * np.arange(m)
            low = np.ceil(centre - scale / 2 - 1e-6).astype(np.int64)
            high = np.ceil(centre + scale / 2 - 1e-6).astype(np.int64)
            nearest = np.floor(centre + 0.5).astype(np.int64)
            low, high = np.where(high > low, (low, high), (nearest, nearest + 1))
            turned = np.moveaxis(marked, axis, 0)
            counted = np.zeros((n + 1, *turned.shape[1:]), np.int32)
            np.cumsum(turned, axis=0, out=counted[1:])
            any_marked = counted[np.clip(high, 0, n)] > counted[np.clip(low, 0, n)]
            marked = np.moveaxis(any_marked, 0, axis)
        return np.ascontiguousarray(marked)

    def inside(self) -> NDArray[np.bool_] | None:
        """Where on `[*size]` a pixel's centre lies within the array; None = everywhere."""
        ranges = [self._covered(axis) for axis in range(len(self.size))]
        if all((low, high) == (0, n) for (low, high), n in zip(ranges, self.size, strict=True)):
            return None
        inside = np.zeros(self.size, bool)
        inside[tuple(slice(low, high) for low, high in ranges)] = True
        return inside

    def bring_back(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """`[*size]` to `[*array_size]`, linear; padding has no influence, and what was cropped away takes
        the value of the nearest pixel that was kept."""
        matrices = []
        for axis, (m, n) in enumerate(zip(self.array_size, self.size, strict=True)):
            scale, offset = 1.0 / self.scale[axis], -self.offset[axis] / self.scale[axis]
            low, high = self._covered(axis)
            unchanged = (m, scale, offset) == (n, 1.0, 0.0)
            matrices.append(None if unchanged else triangle_weights(m, n, scale, offset, low, high))
        return apply_along_axes(array, matrices)

    def seen(self) -> NDArray[np.bool_]:
        """Where on `[*array_size]` the prepared image shows the array's pixel."""
        seen = np.ones(self.array_size, bool)
        for axis, n in enumerate(self.array_size):
            index = (np.arange(n) - self.offset[axis]) / self.scale[axis]
            shown = (index >= -0.5 - 1e-6) & (index <= self.size[axis] - 0.5 + 1e-6)
            shape = [1] * len(self.array_size)
            shape[axis] = n
            seen &= shown.reshape(shape)
        return seen

    def _covered(self, axis: int) -> tuple[int, int]:
        """First and one past the last prepared index whose centre lies within the array; never empty."""
        scale, offset, n, m = self.scale[axis], self.offset[axis], self.array_size[axis], self.size[axis]
        low = int(np.ceil((-0.5 - offset) / scale - 1e-6))
        high = int(np.floor((n - 0.5 - offset) / scale + 1e-6)) + 1
        low, high = max(low, 0), min(high, m)
        if low < high:
            return low, high
        nearest = int(np.clip(round(((n - 1) / 2 - offset) / scale), 0, m - 1))
        return nearest, nearest + 1


def fit_grid(
    array_size: Sequence[int], size: Sequence[int], fit: Fit, factors: Sequence[float] | None = None
) -> Grid:
    """The centred grid of `size` over an array.

    stretch  each axis by itself to the whole size
    pad      one factor for all axes, so that the whole image is shown; the rest is padding
    crop     one factor for all axes, so that the image fills the size; the rest is cut away
    place    no change of scale: padded where the image is smaller, cut where it is larger
    factors  array pixels per resampled pixel (see Resample); None = 1
    """
    unit = np.asarray(factors if factors is not None else (1.0,) * len(size), float)
    whole, target = np.asarray(array_size, float), np.asarray(size, float)
    ratios = whole / unit / target
    if fit == "stretch":
        scale = whole / target
    elif fit == "pad":
        scale = unit * ratios.max()
    elif fit == "crop":
        scale = unit * ratios.min()
    else:
        scale = unit
    offset = (whole - 1.0) / 2 - scale * (target - 1.0) / 2
    return Grid(
        tuple(int(n) for n in size),
        tuple(int(n) for n in array_size),
        tuple(float(s) for s in scale),
        tuple(float(o) for o in offset),
    )
