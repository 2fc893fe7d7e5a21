"""The nearest normals: what an image is most like among the thumbnails that a bundle keeps.

They are those of the baseline pixel-1nn, which every fit has: training normals averaged down to a few pixels
along each axis, and the distance is its score, d = √(mean (x − b)²). No torch here.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from secondread.bundles.archive import folder_of
from secondread.bundles.bundle_document import COMPANIONS, PREPROCESSING
from secondread.bundles.declared import TensorFile
from secondread.bundles.read_document import read_document
from secondread.errors import DataError
from secondread.exporting.export_document import is_exported
from secondread.images.image import Image
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.recipes.recipe import Recipe
from secondread.service.page.language.languages import marked

BANK = "pixel-1nn/detector/bank"
SIDE = {2: 32, 3: 16}
"""Of a thumbnail, by rank (`detectors.trivial.pixel_1nn`)."""
SHOWN = 6
EXPORTED = marked("This is an exported bundle: its normals are part of a graph and cannot be shown.")
LEFT_OUT = marked("This bundle was handed over without the thumbnails of its normals.")
REPLACED = marked("Another bundle has taken the place of the one that read this image.")


class NoNormals(Exception):
    """Why a bundle has no normals to show; a text for `translate`."""


@dataclass(frozen=True)
class Normals:
    """bank  `[n, channels · pixels]` float32
    size  of a thumbnail"""

    digest: str
    preprocessing: Preprocessing
    bank: NDArray[np.float32]
    size: tuple[int, ...]


@dataclass(frozen=True)
class Near:
    """A normal: how far it is, how many of the others are nearer, and its picture as a data URI."""

    distance: float
    number: int
    picture: str


@dataclass(frozen=True)
class Compared:
    """The image's own thumbnail, and the normals nearest to it of so many."""

    picture: str
    nearest: tuple[Near, ...]
    normals: int


def compare(bundle: Path, digest: str, image: Image) -> Compared:
    """Raises NoNormals, DataError where the bundle cannot be read, ImageError where it does not take the
    image."""
    normals = normals_of(bundle)
    if normals.digest != digest:
        raise NoNormals(REPLACED)
    prepared = normals.preprocessing.apply(image)
    own = area_mean(prepared.pixels, normals.size)
    distances = np.sqrt(((normals.bank - own.reshape(1, -1)) ** 2).mean(axis=1))
    order = np.argsort(distances, kind="stable")[:SHOWN]
    scale = (float(own.min()), float(own.max()))
    shape = (len(own), *normals.size)
    near = tuple(
        Near(float(distances[at]), number, as_picture(normals.bank[at].reshape(shape), scale))
        for number, at in enumerate(order.tolist(), 1)
    )
    return Compared(as_picture(own, scale), near, len(normals.bank))


def normals_of(bundle: Path) -> Normals:
    try:
        return _read(bundle, _mark(bundle))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{bundle}: does not fit together ({type(error).__name__})") from error


def _mark(bundle: Path) -> tuple[int, int]:
    file = next(
        (bundle / name for name in ("bundle.json", "export.json") if (bundle / name).is_file()), bundle
    )
    try:
        status = file.stat()
    except OSError as error:
        raise DataError(f"{bundle}: no bundle can be read here ({error.strerror})") from None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4)
def _read(bundle: Path, _mark: tuple[int, int]) -> Normals:
    if is_exported(bundle):
        raise NoNormals(EXPORTED)
    with folder_of(bundle) as folder:
        document, digest = read_document(folder)
        forms = document.files[COMPANIONS].tensors or {}
        if BANK not in forms:
            raise NoNormals(LEFT_OUT)
        recipe = Recipe.from_mapping(document.recipe)
        arrays = {
            name: TensorFile.open(folder / name, document.files[name]).arrays()
            for name in (PREPROCESSING, COMPANIONS)
        }
    preprocessing = Preprocessing.from_state(
        recipe.preprocessing, document.preprocessing, arrays[PREPROCESSING]
    )
    size = recipe.preprocessing.size
    return Normals(
        digest, preprocessing, arrays[COMPANIONS][BANK], tuple(min(SIDE[len(size)], side) for side in size)
    )


def area_mean(pixels: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.float32]:
    """`[C, *spatial]` to `[C, *size]` by means of cells, from ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉ along each axis."""
    values = pixels.astype(np.float64)
    for axis, side in enumerate(size, 1):
        length = values.shape[axis]
        cells = np.zeros((side, length))
        for i in range(side):
            start, end = i * length // side, math.ceil((i + 1) * length / side)
            cells[i, start:end] = 1 / (end - start)
        values = np.moveaxis(np.tensordot(cells, values, (1, axis)), 0, axis)
    return values.astype(np.float32)


def as_picture(values: NDArray[Any], scale: tuple[float, float]) -> str:
    """A thumbnail `[C, *size]` as a grey picture, of a volume its middle slice."""
    grey = values.mean(axis=0) if len(values) == 3 else values[0]
    if grey.ndim == 3:
        grey = grey[grey.shape[0] // 2]
    low, high = scale
    shown = np.clip((grey - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    out = BytesIO()
    Picture.fromarray(shown).resize((128, 128), Picture.Resampling.BICUBIC).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
