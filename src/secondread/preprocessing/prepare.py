"""Many files to prepared images: in worker processes, in order, each decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from secondread.errors import DataError, UserError
from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Done, Failed
from secondread.preprocessing.cache.cache import Cache, fingerprint_of
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.worker_answers import is_sound

USUAL_LIMITS = ReadLimits()

TRIM_AFTER_BYTES = 1 << 30
"""A cache with a limit is trimmed at the end, and whenever this much was added."""

MORE_BYTES = 1 << 20
"""What a prepared image takes beside its pixels (float32) and where they are valid: a thumbnail, matrices."""


@dataclass(frozen=True)
class _CacheRefused:
    """The disk refused a cache entry: not the image's fault, so it stops the run."""

    problem: str


@dataclass(frozen=True)
class PrepareOne:
    """Reads and prepares one reference inside a worker. With a cache the arrays travel through the disk."""

    preprocessing: Preprocessing
    digest: str
    unaligned_digest: str | None
    cache: Cache | None
    limits: ReadLimits

    def __call__(self, reference: str) -> Prepared | _CacheRefused | None:
        if self.cache is None:
            return self.preprocessing.apply(read_image(reference, limits=self.limits))
        fingerprint = fingerprint_of(reference)
        if self.cache.find(reference, self.digest) is not None:
            return None
        prepared = None
        if self.unaligned_digest is not None:
            unaligned = self.cache.find(reference, self.unaligned_digest)
            prepared = None if unaligned is None else self.preprocessing.align(unaligned)
        if prepared is None:
            prepared = self.preprocessing.apply(read_image(reference, limits=self.limits))
        try:
            self.cache.store(reference, self.digest, prepared, fingerprint)
        except OSError as error:
            return _CacheRefused(error.strerror or str(error))
        stored = self.cache.find(reference, self.digest)
        return prepared if stored is None else None


def prepare_many(
    references: Sequence[str],
    preprocessing: Preprocessing,
    *,
    cache: Cache | None = None,
    workers: int = 2,
    timeout_s: float = 60.0,
    limits: ReadLimits = USUAL_LIMITS,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Prepared | ImageError]:
    """The prepared image of each reference, or why there is none, in order and as they become ready.

    Files that the cache does not hold are decoded and prepared in `workers` processes (0 = in this one,
    without limits of time and memory); what it holds is mapped from disk. `progress` is told how many
    are done. Raises UserError where preprocessing is not fitted or the disk refuses the cache.
    """
    digest = preprocessing.digest
    unaligned = preprocessing.unaligned.digest if preprocessing.settings.align is not None else None
    task = PrepareOne(preprocessing, digest, unaligned, cache, limits)
    awaited = bytearray(cache is None or cache.find(one, digest) is None for one in references)
    voxels = preprocessing.settings.channels * prod(preprocessing.settings.size)
    results = map_in_workers(
        task,
        (one for one, missing in zip(references, awaited, strict=True) if missing),
        workers=min(workers, sum(awaited)),
        timeout_s=timeout_s,
        most_bytes=5 * voxels + MORE_BYTES,
    )
    added = 0
    for position, reference in enumerate(references):
        found: Prepared | ImageError | None
        found = None if awaited[position] or cache is None else cache.find(reference, digest)
        if found is None:
            if awaited[position]:
                result = next(results)
            else:  # deleted by another process since it was looked up above
                result = next(map_in_workers(task, [reference], workers=min(workers, 1), timeout_s=timeout_s))
            found = outcome_of(result, reference, cache, preprocessing, limits)
            if isinstance(found, Prepared):
                added += found.pixels.nbytes
        if cache is not None and cache.limit_bytes is not None and added > TRIM_AFTER_BYTES:
            cache.trim()
            added = 0
        if progress is not None:
            progress(position + 1)
        yield found
    if cache is not None and added:
        cache.trim()


def outcome_of(
    result: Done[Prepared | _CacheRefused | None] | Failed,
    reference: str,
    cache: Cache | None,
    preprocessing: Preprocessing,
    limits: ReadLimits,
) -> Prepared | ImageError:
    """What a worker answered; None means that the image lies in the cache."""
    if isinstance(result, Failed):
        return result.error
    if isinstance(result.value, Prepared):
        settings = preprocessing.settings
        if is_sound(result.value, settings.channels, settings.size, limits.max_voxels):
            return result.value
        return ImageError(reference, "its decoding process sent no image of the recipe's size")
    if cache is None:
        return ImageError(reference, "its decoding process sent no image")
    if isinstance(result.value, _CacheRefused):
        raise cache_refused(cache, result.value.problem)
    found = cache.find(reference, preprocessing.digest)
    return found or ImageError(reference, "changed, or left the cache, while it was read", "run again")


def cache_refused(cache: Cache, problem: str) -> UserError:
    return UserError(
        f"{cache.directory}: the cache cannot be written ({problem}); free space, clear it, or name another "
        "folder"
    )


def fit_preprocessing(
    references: Sequence[str],
    preprocessing: Preprocessing,
    *,
    cache: Cache | None = None,
    workers: int = 2,
    timeout_s: float = 60.0,
    limits: ReadLimits = USUAL_LIMITS,
    progress: Callable[[int], None] | None = None,
) -> Preprocessing:
    """`preprocessing`, fitted on the normal images behind `references` where a step needs it.

    The images are prepared without the align step first, and kept so in the cache: aligning them later
    does not decode them again. Of very many, as many as the step asks for are drawn with a fixed seed.
    Files that cannot be read are passed over (prepare_set lists them); DataError where none can be, which
    says why.
    """
    step = preprocessing.settings.align
    if step is None or not preprocessing.needs_fit:
        return preprocessing
    chosen = list(references)
    if len(chosen) > step.align.most_normals:
        drawn = np.random.default_rng(0).choice(len(chosen), step.align.most_normals, replace=False)
        chosen = [references[i] for i in sorted(drawn)]

    def normals() -> Iterator[Prepared]:
        first, some = None, False
        for prepared in prepare_many(
            chosen,
            preprocessing.unaligned,
            cache=cache,
            workers=workers,
            timeout_s=timeout_s,
            limits=limits,
            progress=progress,
        ):
            if isinstance(prepared, Prepared):
                some = True
                yield prepared
            else:
                first = first or prepared
        if first is not None and not some:
            raise DataError(f"align needs normal images, and none can be prepared; first: {first}")

    return preprocessing.fit_prepared(normals)
