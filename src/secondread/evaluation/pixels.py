"""Maps against masks: pixel AUROC, average precision, PRO and Dice, one map in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from secondread.evaluation.cases import Failure
from secondread.evaluation.estimates import Resampling
from secondread.evaluation.packed_cases import Case, PackedCases
from secondread.images.image import Image, ImageError
from secondread.images.masks import mask_on, same_grid
from secondread.images.read import read_image
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed
from secondread.images.write import map_on
from secondread.metrics.pixel_intervals import pixel_intervals
from secondread.metrics.pixels import PixelAccumulator, PixelMetrics
from secondread.packed import Chosen
from secondread.wording.short import Short


@dataclass(frozen=True, repr=False)
class PixelEvaluation(Short):
    """Pixel metrics, or the reason why there are none, and what they leave out.

    intervals     95 %, by the names of the metrics; none where too few patients have a lesion
    without_mask  abnormal images whose lesions are not outlined: left out
    failures      images whose map or mask could not be read: left out
    """

    metrics: PixelMetrics | None
    reason: str
    without_mask: int
    without_map: int
    failures: tuple[Failure, ...]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    map: str
    mask: str | None
    image: str


def evaluate_pixels(
    cases: PackedCases,
    *,
    threshold: float | None,
    workers: int,
    how: Resampling | None = None,
    timeout_s: float = 120.0,
) -> PixelEvaluation | None:
    """Pixel metrics over normal images (empty masks) and abnormal ones with a mask; None without masks.

    A mask is compared in space where it and the image state their positions (see `images.masks`). A normal
    image's mask counts where it has one, so that a wrong label shows. `threshold` is the pixel quantile of
    calibration normals. `how` makes the intervals; none without it.
    """
    masked, mapped = (
        np.fromiter(map(bool, told), bool, len(cases)) for told in (cases.column("mask"), cases.read("map"))
    )
    if not (cases.abnormal & masked).any():
        return None
    outlined = masked | ~cases.abnormal
    usable = np.flatnonzero(outlined & mapped)
    without = (int((~outlined).sum()), int(outlined.sum()) - len(usable))
    if not cases.abnormal[usable].any():
        return PixelEvaluation(None, "no maps: score again with --maps", *without, failures=())
    accumulator = PixelAccumulator(threshold=threshold)
    failures = []
    for case, result in _read(Chosen(cases, usable), workers, timeout_s):
        if isinstance(result, ImageError):
            failures.append(
                Failure(case.path, "abnormal" if case.abnormal else "normal", str(result), case.study)
            )
            continue
        accumulator.add(*result, patient=case.group)
    try:
        metrics = accumulator.result()
    except ValueError as error:
        return PixelEvaluation(None, str(error), *without, failures=tuple(failures))
    intervals = {}
    if how is not None:
        intervals = pixel_intervals(accumulator.patients, metrics, repeats=how.repeats, seed=how.seed)
    return PixelEvaluation(metrics, "", *without, failures=tuple(failures), intervals=intervals)


def _read(
    cases: Sequence[Case], workers: int, timeout_s: float
) -> Iterator[tuple[Case, tuple[NDArray[np.float32], NDArray[np.bool_] | None] | ImageError]]:
    pairs = (_Pair(str(case.reading.map), case.mask, case.reference) for case in cases)
    results = map_in_workers(read_map_and_mask, pairs, workers=workers, timeout_s=timeout_s)
    for case, result in zip(cases, results, strict=True):
        if isinstance(result, Failed):
            yield case, result.error
        elif result.value[1] is not None and result.value[1].shape != result.value[0].shape:
            yield case, ImageError(str(case.reading.map), "its decoding process sent no mask of its size")
        else:
            yield case, result.value


def read_map_and_mask(pair: _Pair) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """A map float32 `[*spatial]` and its mask on the same grid, or None where no mask was given.

    The image itself is read only where map and mask alone do not say how they lie to each other. Raises
    ImageError where one cannot be read, or the mask does not fit (see `mask_on`).
    """
    read = read_image(pair.map)
    map_ = read.pixels[0].astype(np.float32)
    if not np.isfinite(map_).all():
        raise ImageError(pair.map, "the map holds a value that is not finite", "score again with --maps")
    if pair.mask is None:
        return map_, None
    mask = read_image(pair.mask)
    geometry = read.geometry
    pictures = geometry.affine is None and mask.geometry.affine is None
    if not pictures and not same_grid(mask.geometry, mask.size, geometry, map_.shape):
        image = read_image(pair.image)
        map_, geometry = _on_array(read, image), image.geometry
    return map_, mask_on(mask, geometry, map_.shape, "its image")


def _on_array(map_: Image, image: Image) -> NDArray[np.float32]:
    """The map on the image's array grid. It was written on the even grid of the affine, also where slices
    lie unevenly; of a volume without positions under an affine of our own (see `write_map`)."""
    even = replace(image.geometry, slice_origins=None)
    placed = map_.rank == 3 and even.affine is not None
    if placed and not same_grid(map_.geometry, map_.size, even, image.size):
        raise ImageError(map_.source, "the map does not lie on its image's grid", "score again with --maps")
    values = map_on(map_, image)
    if values is None:
        raise ImageError(map_.source, "the map is not of its image's size", "score again with --maps")
    return values
