"""How an image was made and stored, in numbers: what the shortcut check may use, and no diagnosis should."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.images.image import Image
from secondread.images.precision import as_float

_STRIP = 0.03
_THUMBNAIL = 16
_NUMBERS = (
    "file_bytes",
    "bits",
    "jpeg_quality",
    "kvp",
    "exposure",
    "tube_current",
    "field_strength",
    "repetition_time",
    "echo_time",
    "slice_thickness",
)
_WORDS = (
    "format",
    "mode",
    "alpha",
    "modality",
    "manufacturer",
    "model",
    "photometric",
    "transfer_syntax",
    "view",
    "laterality",
    "body_part",
    "kernel",
    "contrast",
    "lossy",
)


def acquisition(image: Image) -> dict[str, float | str]:
    """Facts of acquisition and storage: numbers where they are numbers, else words.

    Always `rows`, `columns`, `slices` (1 for 2-D), `channels`, `border_mean` and `border_sd` (of the outer 3
    % on each side of the image, of the middle slice for a volume, in the file's values, averaged over
    channels); where known `file_bytes`, `bytes_per_pixel`, `bits`, `jpeg_quality`, spacing, and the header's
    words.
    """
    facts: dict[str, float | str] = {
        "rows": float(image.size[-2]),
        "columns": float(image.size[-1]),
        "slices": float(image.size[0] if image.rank == 3 else 1),
        "channels": float(image.pixels.shape[0]),
    }
    for name in _NUMBERS:
        try:
            facts[name] = float(image.header[name])
        except (KeyError, ValueError):
            continue
    for name in _WORDS:
        if image.header.get(name):
            facts[name] = image.header[name]
    if "file_bytes" in facts:
        facts["bytes_per_pixel"] = float(facts["file_bytes"]) / float(np.prod(image.size))
    if image.geometry.spacing is not None:
        for axis, spacing in zip(("column", "row", "slice"), reversed(image.geometry.spacing), strict=False):
            facts[f"{axis}_spacing"] = float(spacing)
    border = _border(_middle(image))
    facts["border_mean"], facts["border_sd"] = float(border.mean()), float(border.std())
    return facts


def thumbnail(image: Image) -> NDArray[np.float32]:
    """The image as 16×16 means in the file's values; channels averaged, a volume's middle slice.

    Values that float32 could not tell apart are counted from the lowest one.
    """
    from PIL import Image as Picture

    plane = _middle(image)
    if plane.dtype != np.float32:
        plane = plane - plane.min()
    small = Picture.fromarray(np.ascontiguousarray(plane, dtype=np.float32)).resize(
        (_THUMBNAIL, _THUMBNAIL), Picture.Resampling.BOX
    )
    return np.asarray(small, dtype=np.float32)


def _middle(image: Image) -> NDArray[np.floating]:
    pixels = image.pixels if image.rank == 2 else image.pixels[:, image.size[0] // 2]
    if len(pixels) == 1:
        return as_float(pixels[0])
    return np.asarray(as_float(pixels).mean(axis=0))


def _border(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    rows, columns = (max(1, round(_STRIP * length)) for length in plane.shape)
    sides = (plane[:rows], plane[-rows:], plane[rows:-rows, :columns], plane[rows:-rows, -columns:])
    return np.concatenate([side.ravel() for side in sides])
