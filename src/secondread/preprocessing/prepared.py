"""An image as detectors see it, with all that is needed to bring a map back to its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secondread.preprocessing.placement import Placement
from secondread.wording.short import Short


@dataclass(frozen=True, repr=False)
class Prepared(Short):
    """One preprocessed image.

    pixels       float32 `[C, *size]`, finite; read-only where it comes from the cache
    valid        bool `[*size]`, False where there is no image (padding, beyond the aligned image's edge);
                 None = valid everywhere
    placement    see Placement
    digest       of the bytes that made the image
    content      of its decoded pixels (see `images.content`): equal for a copy that was saved again
    acquisition  facts about the file, for the shortcut check
    thumbnail    float32 `[16, 16]` of the image before preprocessing
    """

    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_] | None
    placement: Placement
    digest: str
    content: str
    acquisition: Mapping[str, float | str] = field(default_factory=dict)
    thumbnail: NDArray[np.float32] = field(default_factory=lambda: np.zeros((16, 16), np.float32))


def stack(images: Sequence[Prepared]) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Pixels float32 `[n, C, *size]`, and bool `[n, 1, *size]` where they are valid (None = everywhere)."""
    pixels = np.stack([image.pixels for image in images])
    if all(image.valid is None for image in images):
        return pixels, None
    whole = np.ones(pixels.shape[2:], bool)
    return pixels, np.stack([(whole if i.valid is None else i.valid)[np.newaxis] for i in images])
