"""A cohort's prepared images as a sequence that batches are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from secondread.errors import DataError
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.cache.entry import read_entry
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepare import USUAL_LIMITS, prepare_many
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.target import Target, Targets, stacked_targets
from secondread.wording.sizes import times


class PreparedSet(Sequence[Prepared]):
    """Prepared images, in memory or in a cache; only what is small is held for each one of a cache.

    references    of the images that could be prepared
    positions     where each stood in the references that were asked for
    digests, contents, acquisition, thumbnails, placements   one per image (see Prepared)
    patients      one per image: what stands for its patient (`set_patients`), until then its digest
    target_digests  one per image: of its mask, or empty where it has none (see `targets.prepare_targets`)
    target_errors   why masks that were asked for could not be had
    errors        why each of the others could not be prepared
    """

    def __init__(self, preprocessing: Preprocessing, cache: Cache | None = None) -> None:
        self.preprocessing = preprocessing
        self.references: list[str] = []
        self.positions: list[int] = []
        self.digests: list[str] = []
        self.contents: list[str] = []
        self.patients: list[str] = []
        self.acquisition: list[dict[str, float | str]] = []
        self.placements: list[Placement] = []
        self.target_digests: list[str] = []
        self.target_errors: list[ImageError] = []
        self.errors: list[ImageError] = []
        self._targets: dict[int, Target] = {}
        self._thumbnails: list[NDArray[np.float32]] = []
        self._cache = cache
        self._preprocessing_digest = preprocessing.digest
        self._held: list[Prepared] = []
        self._entries: list[Path | None] = []

    def add(self, position: int, reference: str, found: Prepared | ImageError) -> None:
        if isinstance(found, ImageError):
            self.errors.append(found)
            return
        self.references.append(reference)
        self.positions.append(position)
        self.digests.append(found.digest)
        self.contents.append(found.content)
        self.patients.append(found.digest)
        self.acquisition.append(dict(found.acquisition))
        self.placements.append(found.placement)
        self.target_digests.append("")
        self._thumbnails.append(found.thumbnail)
        if self._cache is None:
            self._held.append(found)
        else:
            self._entries.append(self._cache.entry_path(reference, self._preprocessing_digest))

    def __repr__(self) -> str:
        settings = self.preprocessing.settings
        shape = times((settings.channels, *settings.size))
        lost = f", {len(self.errors):,} not read" if self.errors else ""
        where = "in memory" if self._cache is None else "in a cache"
        return f"<PreparedSet of {len(self):,} images of {shape} {where}{lost}>"

    @property
    def thumbnails(self) -> NDArray[np.float32]:
        """float32 `[n, 16, 16]`."""
        if not self._thumbnails:
            return np.zeros((0, 16, 16), np.float32)
        return np.stack(self._thumbnails)

    def __len__(self) -> int:
        return len(self.references)

    @overload
    def __getitem__(self, index: int) -> Prepared: ...

    @overload
    def __getitem__(self, index: slice) -> list[Prepared]: ...

    def __getitem__(self, index: int | slice) -> Prepared | list[Prepared]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        if self._cache is None:
            return self._held[index]
        entry = self._entries[index]
        found = None if entry is None else read_entry(entry)
        if found is not None:
            return found
        reference = self.references[index]
        found = self._again(reference)
        if found.digest != self.digests[index]:
            raise DataError(f"{reference}: has changed since this run began; start again")
        return found

    def batch(self, indices: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Pixels float32 `[n, C, *size]`, and bool `[n, 1, *size]` where they are valid (None = everywhere).

        Raises DataError where a file was changed or lost after the set was made.
        """
        settings = self.preprocessing.settings
        pixels = np.empty((len(indices), settings.channels, *settings.size), np.float32)
        valid: NDArray[np.bool_] | None = None
        for place, index in enumerate(indices):
            prepared = self[int(index)]
            pixels[place] = prepared.pixels
            if prepared.valid is not None:
                if valid is None:
                    valid = np.ones((len(indices), 1, *settings.size), bool)
                valid[place, 0] = prepared.valid
        return pixels, valid

    def one(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Pixels `[C, *size]` and where they are valid `[*size]` (None = everywhere), not copied: of a cache
        they lie in its file and are read where they are looked at."""
        prepared = self[index]
        return prepared.pixels, prepared.valid

    def set_patients(self, patients: Sequence[str]) -> None:
        """What stands for the patient of each reference that was asked for, in that order."""
        self.patients = [patients[position] for position in self.positions]

    def set_target(self, index: int, target: Target) -> None:
        self._targets[index] = target
        self.target_digests[index] = target.digest

    def targets(self, indices: Sequence[int]) -> Targets | None:
        """The masks of these images; None where none of them has one."""
        size = self.preprocessing.settings.size
        found = [self._targets.get(int(index)) for index in indices]
        return stacked_targets([None if one is None else one.unpack(size) for one in found], size)

    def _again(self, reference: str) -> Prepared:
        """An entry that someone cleared, or whose file was touched, is prepared once more."""
        found = next(iter(prepare_many([reference], self.preprocessing, cache=self._cache, workers=1)))
        if isinstance(found, ImageError):
            raise DataError(f"{found}; it could be read when this run began")
        return found


def prepare_set(
    references: Sequence[str],
    preprocessing: Preprocessing,
    *,
    cache: Cache | None = None,
    workers: int = 2,
    timeout_s: float = 60.0,
    limits: ReadLimits = USUAL_LIMITS,
    progress: Callable[[int], None] | None = None,
) -> PreparedSet:
    """All references prepared (see prepare_many); without a cache the images are held in memory."""
    prepared_set = PreparedSet(preprocessing, cache)
    found = prepare_many(
        references,
        preprocessing,
        cache=cache,
        workers=workers,
        timeout_s=timeout_s,
        limits=limits,
        progress=progress,
    )
    for position, (reference, prepared) in enumerate(zip(references, found, strict=True)):
        prepared_set.add(position, reference, prepared)
    return prepared_set
