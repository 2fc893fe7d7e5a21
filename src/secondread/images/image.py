"""What a file becomes: an array with its geometry, and the one error that a bad file raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.wording.short import Short

VECTOR = "vector"
"""In the header of an image of one row that is a vector: its values have no places."""
FRAMES_IN_TIME = "frames_in_time"
"""In the header of an image whose first spatial axis is time: a clip that was read whole."""


class ImageError(Exception):
    """A file that gives no image: which file, what is wrong with it, what to do.

    `str(error)` is one line. It crosses process borders (it pickles by its three fields).
    """

    def __init__(self, path: str, problem: str, advice: str = "") -> None:
        super().__init__(path, problem, advice)
        self.path = path
        self.problem = " ".join(problem.split())
        self.advice = " ".join(advice.split())

    def __str__(self) -> str:
        line = f"{self.path}: {self.problem}"
        return f"{line}; {self.advice}" if self.advice else line


class Damaged(ValueError):
    """What is wrong with a file's data, in words of this package. The text of another error is never shown:
    it may repeat what stands in the file, and seldom says what to do."""


@dataclass(frozen=True, repr=False)
class Geometry(Short):
    """Where the array's elements lie in the patient, and how the array lies in its file.

    spacing      millimetres between neighbours along each spatial axis of the array, or None where
                 the file does not say
    affine       4×4, from array index (in the array's axis order; a 2-D image is `(row, column, 0)`,
                 a volume in one orientation for all, see `orientation`) to millimetres in the patient, RAS+
                 (NIfTI's convention); None for plain pictures
    file_axes    for each spatial axis of the *file*, the axis of the array that it became; None = equal. The
                 axes of a stack of DICOM slices are (slice, row, column), slices ordered along their normal
    file_flips   for each spatial axis of the file, whether the array runs the other way; None = none
    file_affine  4×4 of the file's own grid, where the file itself has one (NIfTI)
    slice_origins  `[slices, 3]`, RAS+ millimetres of the array's first element in each DICOM slice, along the
                 axis that the slices became; only where the slices lie unevenly, so that no affine can say
                 it; `affine` is then the even grid of the same extent
    remarks      what a reader should know and a person should be told (tilted gantry, uneven spacing)
    """

    spacing: tuple[float, ...] | None = None
    affine: NDArray[np.float64] | None = None
    file_axes: tuple[int, ...] | None = None
    file_flips: tuple[bool, ...] | None = None
    file_affine: NDArray[np.float64] | None = None
    remarks: tuple[str, ...] = ()
    slice_origins: NDArray[np.float64] | None = None

    def position(self, index: tuple[int, ...]) -> NDArray[np.float64]:
        """RAS+ millimetres of one element, given its index in array order; exact for uneven slices too.

        Raises ValueError where the file does not say where its pixels lie.
        """
        if self.affine is None:
            raise ValueError("the image has no position in the patient")
        if self.slice_origins is not None:
            axis = self.file_axes[0] if self.file_axes else 0
            within = [other for other in range(3) if other != axis]
            step = self.affine[:3, within] @ np.array([index[other] for other in within], dtype=np.float64)
            return np.asarray(self.slice_origins[index[axis]] + step, dtype=np.float64)
        padded = np.array([*index, *(0,) * (3 - len(index)), 1.0], dtype=np.float64)
        return np.asarray((self.affine @ padded)[:3], dtype=np.float64)

    def to_file_axes(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """An array `[*spatial]` on the image's grid, with the axes in the file's order and direction."""
        axes = self.file_axes or tuple(range(array.ndim))
        turned = np.transpose(array, axes)
        flips = self.file_flips or (False,) * array.ndim
        return np.ascontiguousarray(turned[tuple(slice(None, None, -1 if flip else 1) for flip in flips)])

    def from_file_axes(self, array: NDArray[Any]) -> NDArray[Any]:
        """The way back: an array on the file's grid, with the axes as the image has them."""
        flips = self.file_flips or (False,) * array.ndim
        turned = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        axes = self.file_axes or tuple(range(array.ndim))
        return np.ascontiguousarray(np.transpose(turned, np.argsort(axes)))

    def affine_on_file_axes(self, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
        """4×4 from an index on the file's axes, along which a volume has `shape`, to RAS+ millimetres; None
        where the file does not say where its voxels lie."""
        if self.file_affine is not None or self.affine is None or self.file_axes is None:
            return self.affine if self.file_affine is None else self.file_affine
        to_array = np.zeros((4, 4))
        to_array[3, 3] = 1.0
        flips = self.file_flips or (False,) * len(shape)
        for file_axis, (axis, flip) in enumerate(zip(self.file_axes, flips, strict=True)):
            to_array[axis, file_axis] = -1.0 if flip else 1.0
            to_array[axis, 3] = shape[file_axis] - 1 if flip else 0
        return np.asarray(self.affine @ to_array, dtype=np.float64)


@dataclass(frozen=True)
class Voi:
    """The display window that a DICOM header asks for (PS3.3 C.11.2): window or lookup table.

    With a table, values from `first` map to its entries; with a window, `function` is LINEAR,
    LINEAR_EXACT or SIGMOID.
    """

    center: float | None = None
    width: float | None = None
    function: str = "LINEAR"
    table: NDArray[np.float32] | None = None
    first: float = 0.0


@dataclass(frozen=True, repr=False)
class Image(Short):
    """Pixels `[channels, *spatial]` in the file's own physical values, with what is known about them.

    pixels     native dtype where nothing was rescaled, else float32 (float64 where that could not tell the
               values apart); grey has one channel, colour
               three (RGB; alpha is composited away and noted in `header["alpha"]`); higher = brighter
               (MONOCHROME1 is turned round by the reader)
    geometry   see Geometry
    source     the reference that was read (`path` or `path#member`)
    digest     hex BLAKE2b-160 of the bytes that made it: the image's identity in caches, bundles and leak
               checks
    voi        the header's display window or lookup table, if any
    padding    boolean `[*spatial]`, True where the header's PixelPaddingValue says "no image", or None
    header     acquisition facts free of identity (modality, manufacturer, rows, columns, bits, photometric,
               transfer_syntax, mode, file_bytes, jpeg_quality, view, body_part, kvp, …), all as strings
    """

    pixels: NDArray[np.generic]
    geometry: Geometry
    source: str
    digest: str
    voi: Voi | None = None
    padding: NDArray[np.bool_] | None = None
    header: Mapping[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        return self.pixels.ndim - 1

    @property
    def size(self) -> tuple[int, ...]:
        """The spatial size, in array order."""
        return self.pixels.shape[1:]
