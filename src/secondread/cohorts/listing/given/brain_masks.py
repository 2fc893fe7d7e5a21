"""Masks of the brain of images whose background is 0 already, as files beside a manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondread.cohorts.listing.file_reading import reason_of
from secondread.cohorts.listing.set_aside import SetAside
from secondread.cohorts.row import Row
from secondread.images.several_files import SEPARATOR, under
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed


def with_brain_masks(
    rows: Sequence[Row], base: Path, folder: Path, workers: int
) -> tuple[list[Row], list[SetAside]]:
    """The rows with a mask as the last file of `path`, written into `folder` on the image's own grid, and the
    images that cannot be read."""
    stems = [
        folder / f"{hashlib.blake2b(row.path.encode(), digest_size=8).hexdigest()}-brain" for row in rows
    ]
    items = [(under(base, row.path), str(stem)) for row, stem in zip(rows, stems, strict=True)]
    found: list[Row] = []
    aside: list[SetAside] = []
    results = map_in_workers(write_brain_mask, items, workers=min(workers, len(items)))
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, Failed):
            aside.append(SetAside(row.path, reason_of(result.error), unreadable=True))
        else:
            mask = Path(os.path.relpath(result.value, base)).as_posix()
            found.append(replace(row, path=f"{row.path}{SEPARATOR}{mask}"))
    return found, aside


def write_brain_mask(item: tuple[str, str]) -> str:
    """Write where some channel of an image is not 0, holes filled; returns the file. Raises ImageError."""
    from scipy.ndimage import binary_fill_holes

    from secondread.images.read import read_image
    from secondread.images.write import write_map

    reference, stem = item
    image = read_image(reference)
    brain = binary_fill_holes((image.pixels != 0).any(axis=0))
    return str(write_map(stem, image.geometry.to_file_axes(brain), image.geometry))
