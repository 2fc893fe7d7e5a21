"""Heat maps on the input's own grid, and pictures of them over the image, on the bundle's one scale."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from secondread.images.write import write_map
from secondread.outputs.whole import whole_file
from secondread.readings.pipeline import Result

HEAT = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]], np.float32
)
"""Six colours from dark to light in perceived even steps, for values 0, 0.2 … 1."""


COLOURS = np.stack([np.interp(np.linspace(0, 5, 1021), range(6), HEAT[:, k]) for k in range(3)], 1).astype(
    np.float32
)
"""The same in steps that are finer than one level of the picture."""
LONGEST_PATH, LONGEST_KEPT = 200, 100
"""Bytes of a path that its map's name is, and of one from which its end is kept."""


def write_maps(folder: Path, result: Result, scale: tuple[float, float]) -> Path | None:
    """Write `maps/<path>.map.tiff` or `.nii.gz` and `maps/<path>.overlay.png`; return the map's path.

    scale   the map values that the overlay shows as nothing and as full heat, equal for all images
    """
    if result.map is None or result.placement is None or result.picture is None:
        return None
    stem = folder / "maps" / file_stem(result.reading.path)
    heat = result.placement.to_file_grid(result.map)
    written = write_map(stem.with_name(f"{stem.name}.map"), heat, result.placement.geometry)
    picture = result.placement.to_file_grid(result.picture)
    if heat.ndim == 3:
        heat, picture = hottest_slice(heat, picture)
    save_overlay(stem.with_name(f"{stem.name}.overlay.png"), picture, heat, scale)
    return written


def file_stem(path: str) -> str:
    """A relative path that is safe to write to, and different for different inputs.

    `films/a.png` stays; of an absolute path, one with `..`, an archive member or odd characters, the
    name (of several files that of the first) stays and a hash keeps it apart from others. Lengths are bytes
    of UTF-8, of which file systems take 255 in one name.
    """
    first = path.partition("|")[0] or path
    parts = [part for part in PurePosixPath(first.replace("\\", "/")).parts if part not in ("/", ".")]
    safe = [re.sub(r"[^\w.,+=@ -]", "_", part) if part != ".." else "__" for part in parts]
    data = os.fsencode(path)
    if "/".join(safe) == path and len(data) < LONGEST_PATH:
        return path
    name = os.fsencode(safe[-1])[-LONGEST_KEPT:].decode("utf-8", "ignore")
    return f"{name}.{hashlib.blake2b(data, digest_size=8).hexdigest()}"


def hottest_slice(
    heat: NDArray[np.float32], picture: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The slice, along the file's axis with the fewest, that holds the highest value of the map."""
    axis = int(np.argmin(heat.shape))
    number = int(np.unravel_index(int(np.argmax(heat)), heat.shape)[axis])
    return np.take(heat, number, axis), np.take(picture, number, axis)


def save_overlay(
    path: Path, picture: NDArray[np.float32], heat: NDArray[np.float32], scale: tuple[float, float]
) -> None:
    """The image in grey with the map over it, as PNG."""
    from PIL import Image as Picture

    bottom, top = float(picture.min()), float(picture.max())
    grey = (picture - bottom) * np.float32(255 / max(top - bottom, 1e-12))
    mixed = mix(grey[np.newaxis], heat, scale)
    with whole_file(path, synced=False) as file:
        Picture.fromarray(mixed).save(file, "PNG", compress_level=1)


def mix(
    picture: NDArray[np.float32], heat: NDArray[np.float32], scale: tuple[float, float]
) -> NDArray[np.uint8]:
    """A picture `[1 or 3, rows, columns]` of 0 to 255 with the map over it, `[rows, columns, 3]`; more opaque
    where the map is higher."""
    low, high = scale
    amount = np.clip((heat - low) / np.float32(max(high - low, 1e-12)), 0, 1).astype(np.float32)
    opacity = np.float32(0.6) * amount
    dimmed = picture * (1 - opacity) + np.float32(0.5)
    step = (amount * (len(COLOURS) - 1) + np.float32(0.5)).astype(np.int32)
    mixed = np.empty((*heat.shape, 3), np.uint8)
    for channel in range(3):
        mixed[..., channel] = dimmed[channel % len(dimmed)] + COLOURS[:, channel].take(step) * opacity
    return mixed
