"""Where the loop gets its images: anything with a length, digests and batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from secondread.preprocessing.target import Targets, stacked_targets


class ImageSource(Protocol):
    """Preprocessed images of one size, in a fixed order. `preprocessing.PreparedSet` is one."""

    @property
    def digests(self) -> Sequence[str]:
        """One hexadecimal digest per image, of its content and of the preprocessing."""

    @property
    def patients(self) -> Sequence[str]:
        """What stands for each image's patient: the same for images of one patient."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]:
        """float32 `[n, C, *spatial]`, and bool `[n, 1, *spatial]` or None where all is valid."""

    @property
    def target_digests(self) -> Sequence[str]:
        """One hexadecimal digest per image, of its mask; empty for an image without one."""

    def targets(self, indices: Sequence[int]) -> Targets | None:
        """The masks of these images; None where none of them has one."""


class ArraySource:
    """Images that are already in memory.

    images  float32 `[n, C, *spatial]`
    valid   bool `[n, 1, *spatial]`, False where an image is only padding; None = valid everywhere
    masks   for each image a bool `[*spatial]` or None; None = no image has one
    patients  what stands for each image's patient; None = each image is a patient's of its own
    """

    def __init__(
        self,
        images: npt.ArrayLike,
        valid: npt.ArrayLike | None = None,
        masks: Sequence[npt.ArrayLike | None] | None = None,
        patients: Sequence[str] | None = None,
    ) -> None:
        self.images = np.ascontiguousarray(images, dtype=np.float32)
        self.valid = None if valid is None else np.ascontiguousarray(valid, dtype=bool)
        if self.valid is not None and self.valid.shape != (
            len(self.images),
            1,
            *self.images.shape[2:],
        ):
            raise ValueError(f"valid has shape {self.valid.shape}, the images {self.images.shape}")
        self.masks = [
            None if mask is None else np.ascontiguousarray(mask, dtype=bool)
            for mask in (masks or [None] * len(self.images))
        ]
        shapes = {mask.shape for mask in self.masks if mask is not None}
        if len(self.masks) != len(self.images) or shapes - {self.images.shape[2:]}:
            raise ValueError(f"{len(self.masks)} masks of shapes {shapes} for images {self.images.shape}")
        if patients is not None and len(patients) != len(self.images):
            raise ValueError(f"{len(patients)} patients for {len(self.images)} images")
        self._patients = patients

    @cached_property
    def digests(self) -> Sequence[str]:
        return [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in self.images]

    @property
    def patients(self) -> Sequence[str]:
        return self.digests if self._patients is None else self._patients

    @cached_property
    def target_digests(self) -> Sequence[str]:
        return [
            "" if mask is None else hashlib.blake2b(mask.tobytes(), digest_size=16).hexdigest()
            for mask in self.masks
        ]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Sequence[int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]:
        rows = np.asarray(indices, dtype=np.intp)
        return self.images[rows], None if self.valid is None else self.valid[rows]

    def one(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]:
        """The image `[C, *size]` and where it is valid `[*size]`, not copied."""
        return self.images[index], None if self.valid is None else self.valid[index, 0]

    def targets(self, indices: Sequence[int]) -> Targets | None:
        return stacked_targets([self.masks[int(row)] for row in indices], self.images.shape[2:])
