"""What the header of a file of voxels says, whichever of the formats with a header of text it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.formats.grids.voxels import Packing


@dataclass(frozen=True)
class VoxelGrid:
    """A header, checked.

    format     "NRRD" or "MetaImage"
    shape      of all axes as stored, the fastest first
    spatial    which of them lie in space, two or three
    colour     the axis of red, green, blue (and alpha); the others that do not lie in space number frames
    dtype      of a value, in the file's byte order
    spacing    millimetres along the spatial axes, where the header says it
    affine     4×4 from three spatial indices to RAS+ millimetres; None where it does not lie in space
    packing    how the values are packed
    data_file  where they lie, relative to the header; empty where they follow it
    start      their first packed byte in the file that holds them; −1 where they are its last bytes
    lines      lines to pass over before that
    skip       bytes to pass over once they are unpacked
    """

    format: str
    shape: tuple[int, ...]
    spatial: tuple[int, ...]
    colour: int | None
    dtype: np.dtype[Any]
    spacing: tuple[float, ...] | None
    affine: NDArray[np.float64] | None
    packing: Packing
    data_file: str = ""
    start: int = 0
    lines: int = 0
    skip: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def grid(self) -> tuple[int, ...]:
        """The spatial lengths."""
        return tuple(self.shape[axis] for axis in self.spatial)

    @property
    def channels(self) -> int:
        return 1 if self.colour is None else self.shape[self.colour]

    @property
    def frame_axes(self) -> tuple[int, ...]:
        """What numbers the frames, the fastest first."""
        others = (*self.spatial, self.colour)
        return tuple(axis for axis in range(len(self.shape)) if axis not in others)

    @property
    def frames(self) -> int:
        return math.prod(self.shape[axis] for axis in self.frame_axes)

    @property
    def frame_bytes(self) -> int:
        return math.prod(self.grid) * self.channels * self.dtype.itemsize

    @property
    def frames_follow(self) -> bool:
        """Whether one frame's values lie together, before those of the next."""
        within = len(self.shape) - len(self.frame_axes)
        return all(axis >= within for axis in self.frame_axes if self.shape[axis] > 1)
