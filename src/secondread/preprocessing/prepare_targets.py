"""Masks as detectors learn from them: on the prepared grid of the image that they outline.

A mask is read once, brought onto its image's own grid (`images.masks`), and from there the way that the image
went: its prepared grid, on which any marked pixel marks (`Grid.cover`), then its alignment, by the nearest
pixel. What a set holds of it, and the cache, is compressed bits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from secondread.images.image import Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.masks import mask_on
from secondread.images.read import read_image
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepare import USUAL_LIMITS, cache_refused
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.preprocessing.target import Target

_DIGEST = re.compile(r"[0-9a-f]{40}")


def target_on(mask: Image, placement: Placement, image: str) -> NDArray[np.bool_]:
    """Where a mask marks something, bool `[*size]` on the prepared grid of an image that was placed so.

    `image` is what messages call the image. Raises ImageError where the mask does not belong to the image
    (see `mask_on`).
    """
    grid = placement.grid
    marked = grid.cover(mask_on(mask, placement.geometry, grid.array_size, image))
    if placement.alignment is None:
        return marked
    rank, matrix = marked.ndim, placement.alignment
    moved = affine_transform(
        marked.astype(np.uint8), matrix[:rank, :rank], matrix[:rank, rank], order=0, mode="constant"
    )
    return np.asarray(moved > 0)


def prepare_targets(
    images: PreparedSet,
    masks: Sequence[str | None],
    *,
    cache: Cache | None = None,
    workers: int = 2,
    timeout_s: float = 60.0,
    limits: ReadLimits = USUAL_LIMITS,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Gives the images of a set their masks; why some could not be had stands in its `target_errors`, and
    such an image has none.

    `masks` are references, one for each image that was asked for when the set was made, None = no mask. What
    the cache does not hold is read in `workers` processes (0 = in this one). `progress` is told how many are
    done.
    """
    asked = [
        _Asked(mask, images.placements[at], images.references[at])
        for at, position in enumerate(images.positions)
        if (mask := masks[position])
    ]
    places = [at for at, position in enumerate(images.positions) if masks[position]]
    digest, size = images.preprocessing.digest, images.preprocessing.settings.size
    keys = [
        None if cache is None else cache.target_key(images.digests[at], each.path)
        for at, each in zip(places, asked, strict=True)
    ]
    held = [None if cache is None or key is None else cache.find_target(digest, key) for key in keys]
    missing = [number for number, found in enumerate(held) if found is None]
    bits = -(-prod(size) // 8)
    results = map_in_workers(
        _ReadTarget(limits),
        [asked[number] for number in missing],
        workers=min(workers, len(missing)),
        timeout_s=timeout_s,
        most_bytes=bits + (1 << 16),
    )
    images.target_errors = errors = []
    awaited = set(missing)
    for number, at in enumerate(places):
        found = held[number]
        if number in awaited:
            result = next(results)
            if not isinstance(result, Done):
                errors.append(result.error)
            elif len(result.value.bits) != bits or len(result.value.digest) != 40:
                errors.append(
                    ImageError(asked[number].path, "its decoding process sent no mask of that size")
                )
            else:
                found = Target.of(result.value.bits, result.value.digest)
                key = keys[number]
                if cache is not None and key is not None:
                    _store(cache, digest, key, found)
        if found is not None:
            images.set_target(at, found)
        if progress is not None:
            progress(number + 1)


def _store(cache: Cache, digest: str, key: str, target: Target) -> None:
    try:
        cache.store_target(digest, key, target)
    except OSError as error:
        raise cache_refused(cache, error.strerror or str(error)) from error


@dataclass(frozen=True)
class _Asked:
    """path: of the mask. image: what messages call the image."""

    path: str
    placement: Placement
    image: str


@dataclass(frozen=True)
class _Read:
    bits: NDArray[np.uint8]
    digest: str


@dataclass(frozen=True)
class _ReadTarget:
    limits: ReadLimits

    def __call__(self, asked: _Asked) -> _Read:
        mask = read_image(asked.path, limits=self.limits)
        marked = target_on(mask, asked.placement, os.path.basename(asked.image))
        return _Read(np.packbits(marked), mask.digest)
