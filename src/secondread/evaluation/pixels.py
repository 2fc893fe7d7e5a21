"""Maps against masks: pixel AUROC, average precision, PRO and Dice, one map in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.evaluation.cases import Case, Failure
from secondread.images.image import ImageError
from secondread.images.pool import Failed, map_in_workers
from secondread.images.read import read_image
from secondread.metrics.pixels import PixelAccumulator, PixelMetrics


@dataclass(frozen=True)
class PixelEvaluation:
    """Pixel metrics, or the reason why there are none, and what they leave out.

    without_mask  abnormal images whose lesions are not outlined: left out
    failures      images whose map or mask could not be read: left out
    """

    metrics: PixelMetrics | None
    reason: str
    without_mask: int
    without_map: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class _Pair:
    map: str
    mask: str | None


def evaluate_pixels(
    cases: Sequence[Case], *, threshold: float | None, workers: int, timeout_s: float = 120.0
) -> PixelEvaluation | None:
    """Pixel metrics over normal images (empty masks) and abnormal ones with a mask; None without masks.

    Map and mask are read by the same readers, hence on the same orientation; a mask of another size is
    resampled by nearest neighbour to the map's grid. A normal image's mask counts where it has one, so
    that a wrong label shows. `threshold` is the pixel quantile of calibration normals.
    """
    if not any(case.abnormal and case.mask for case in cases):
        return None
    outlined = [case for case in cases if case.mask or not case.abnormal]
    usable = [case for case in outlined if case.reading.map is not None]
    left_out = {
        "without_mask": len(cases) - len(outlined),
        "without_map": len(outlined) - len(usable),
    }
    if not any(case.abnormal for case in usable):
        return PixelEvaluation(None, "no maps: score again with --maps", failures=(), **left_out)
    accumulator = PixelAccumulator(threshold=threshold)
    failures = []
    for case, result in _read(usable, workers, timeout_s):
        if isinstance(result, ImageError):
            failures.append(
                Failure(case.path, "abnormal" if case.abnormal else "normal", str(result), case.study)
            )
            continue
        accumulator.add(*result, patient=case.group)
    try:
        metrics, reason = accumulator.result(), ""
    except ValueError as error:
        metrics, reason = None, str(error)
    return PixelEvaluation(metrics, reason, failures=tuple(failures), **left_out)


def _read(
    cases: Sequence[Case], workers: int, timeout_s: float
) -> Iterator[tuple[Case, tuple[NDArray[np.float32], NDArray[np.bool_] | None] | ImageError]]:
    pairs = (_Pair(str(case.reading.map), case.mask) for case in cases)
    results = map_in_workers(read_map_and_mask, pairs, workers=workers, timeout_s=timeout_s)
    for case, result in zip(cases, results, strict=True):
        yield case, result.error if isinstance(result, Failed) else result.value


def read_map_and_mask(pair: _Pair) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """A map float32 `[*spatial]` and its mask on the same grid, or None where no mask was given.

    Raises ImageError where one cannot be read or their ranks differ.
    """
    map_ = read_image(pair.map).pixels[0].astype(np.float32)
    if not np.isfinite(map_).all():
        raise ImageError(pair.map, "the map holds a value that is not finite", "score again with --maps")
    if pair.mask is None:
        return map_, None
    mask = read_image(pair.mask).pixels.max(axis=0) != 0
    if mask.ndim != map_.ndim:
        raise ImageError(pair.mask, f"a mask of rank {mask.ndim} for a map of rank {map_.ndim}")
    return map_, nearest(mask, map_.shape)


def nearest(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask on a grid of another size that covers the same field: nearest neighbour, voxel centres."""
    if mask.shape == size:
        return mask
    indices = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for old, new in zip(mask.shape, size, strict=True)
    ]
    return mask[np.ix_(*indices)]
