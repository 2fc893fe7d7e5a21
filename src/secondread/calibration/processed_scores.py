"""Raw scores whose maps went through what a recipe does with maps. No torch here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.raw_scores import RawScores
from secondread.postprocessing.map_processing import MapProcessing

MAP_PART = "map"
"""The part of RawScores that a processed map gives."""


def processed(
    raw: RawScores,
    images: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    processing: MapProcessing,
) -> RawScores:
    """The raw scores of prepared images with their maps processed and, where it is asked for, the part that
    these give."""
    maps = processing.apply(raw.maps or {}, images, valid)
    done = RawScores(raw.parts, raw.tails, maps)
    return done.with_part(MAP_PART, processing.image_scores(maps, valid)) if processing.scores else done
