"""Patches of images in place of the images: what a detector with a window is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from secondread.preprocessing.target import Targets
from secondread.scoring.image_source import ImageSource
from secondread.tiling.tiles import Corner, tile_at
from secondread.tiling.window_settings import WindowSettings
from secondread.training.seeds import derive_seed

MOST_TRIES = 50
Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class CroppedSource(ImageSource, Protocol):
    """An image source of which a part of one image can be had without the rest."""

    def one(self, index: int) -> tuple[Pixels, Mask | None]:
        """The image `[C, *size]` and where it is valid `[*size]` (None = everywhere), not copied: arrays that
        may lie in a file and are read where they are looked at."""


@dataclass(frozen=True)
class Patches:
    """An image source of `window.patches` patches of every image: patch p of image i is row i * patches + p.

    A patch's place is drawn from the seed, its image, its number and the epoch; without an epoch it is the
    same every time.
    """

    source: CroppedSource
    window: WindowSettings
    size: tuple[int, ...]
    seed: int
    epoch: int | None = None

    def in_epoch(self, epoch: int) -> Patches:
        """The same images' patches at the places of an epoch."""
        return replace(self, epoch=epoch)

    @cached_property
    def digests(self) -> Sequence[str]:
        drawn = f"{self.window.size} {self.window.patches} {self.window.content} {self.seed} {self.epoch}"
        return self._of_each(
            self.source.digests,
            lambda digest, number: hashlib.blake2b(
                f"{digest} {drawn} {number}".encode(), digest_size=16
            ).hexdigest(),
        )

    @cached_property
    def patients(self) -> Sequence[str]:
        return self._of_each(self.source.patients, lambda patient, number: patient)

    @cached_property
    def target_digests(self) -> Sequence[str]:
        return self._of_each(self.source.target_digests, lambda digest, number: digest)

    def __len__(self) -> int:
        return len(self.source) * self.window.patches

    def batch(self, indices: Sequence[int]) -> tuple[Pixels, Mask | None]:
        cut, held = [], []
        for row in indices:
            pixels, valid = self.source.one(int(row) // self.window.patches)
            where = tile_at(self._corner(int(row), valid), self.window.size)
            cut.append(pixels[where])
            held.append(None if valid is None else valid[where])
        images = np.stack(cut)
        if all(part is None for part in held):
            return images, None
        whole = np.ones(self.window.size, bool)
        return images, np.stack([whole if part is None else part for part in held])[:, np.newaxis]

    def targets(self, indices: Sequence[int]) -> Targets | None:
        """The images' masks, cut as the patches are."""
        found = self.source.targets([int(row) // self.window.patches for row in indices])
        if found is None:
            return None
        marked = [
            mask[tile_at(self._corner(int(row)), self.window.size)]
            for row, mask in zip(indices, found[0], strict=True)
        ]
        return np.stack(marked), found[1]

    def _corner(self, row: int, valid: Mask | None = None) -> Corner:
        image, number = divmod(row, self.window.patches)
        if valid is None and self.window.content:
            valid = self.source.one(image)[1]
        rng = np.random.default_rng(derive_seed(self.seed, "patch", self.epoch or 0, image, number))
        room = [length - side + 1 for length, side in zip(self.size, self.window.size, strict=True)]
        best: tuple[float, Corner] = (-1.0, ())
        for _ in range(MOST_TRIES):
            corner = tuple(int(rng.integers(places)) for places in room)
            if valid is None or not self.window.content:
                return corner
            share = float(valid[tile_at(corner, self.window.size)].mean())
            if share >= self.window.content:
                return corner
            best = max(best, (share, corner))
        return best[1]

    def _of_each(self, of_images: Sequence[str], of: Callable[[str, int], str]) -> list[str]:
        return [of(value, number) for value in of_images for number in range(self.window.patches)]
