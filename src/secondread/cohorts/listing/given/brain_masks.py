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


class BrainMasks:
    """Rows with a mask as the last file of `path`, written into `folder` on the image's own grid; asked with
    some rows after the others.

    aside   the images that cannot be read
    """

    def __init__(self, base: Path, folder: Path, workers: int) -> None:
        self._base, self._folder, self._workers = base, folder, workers
        self.aside: list[SetAside] = []

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        items = [(under(self._base, row.path), str(self._stem(row))) for row in rows]
        found: list[Row] = []
        results = map_in_workers(write_brain_mask, items, workers=min(self._workers, len(items)))
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, Failed):
                self.aside.append(SetAside(row.path, reason_of(result.error), unreadable=True))
            else:
                mask = Path(os.path.relpath(result.value, self._base)).as_posix()
                found.append(replace(row, path=f"{row.path}{SEPARATOR}{mask}"))
        return found

    def _stem(self, row: Row) -> Path:
        return self._folder / f"{hashlib.blake2b(row.path.encode(), digest_size=8).hexdigest()}-brain"


def write_brain_mask(item: tuple[str, str]) -> str:
    """Write where some channel of an image is not 0, holes filled; returns the file. Raises ImageError."""
    from scipy.ndimage import binary_fill_holes

    from secondread.images.read import read_image
    from secondread.images.write import write_map

    reference, stem = item
    image = read_image(reference)
    brain = binary_fill_holes((image.pixels != 0).any(axis=0))
    return str(write_map(stem, image.geometry.to_file_axes(brain), image.geometry))
