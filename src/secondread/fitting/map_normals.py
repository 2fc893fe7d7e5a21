"""What post-processing of maps learns from held-out normals, and what can be refused before a fit begins."""

from __future__ import annotations

import numpy as np

from secondread.errors import UserError
from secondread.postprocessing.areas import allowed, area_of
from secondread.postprocessing.map_processing import MapNormals, MapProcessing
from secondread.postprocessing.map_settings import MapSettings
from secondread.scoring.image_source import ImageSource
from secondread.scoring.scorer import Scorer, read_ahead


def fitted_processing(settings: MapSettings, scorer: Scorer, normals: ImageSource) -> MapProcessing | None:
    """The processing, fitted on the raw maps of validation normals; None where the detector gives no map.

    Raises ValueError where no position of any of them counts (`refuse_empty_maps` says so before a fit).
    """
    mixture = scorer.detector.map_mixture()
    if mixture is None or not len(normals):
        return None
    learning = MapNormals(settings, mixture.weights)
    for rows, images, valid in read_ahead(normals, 16):
        raw = scorer.batch(images, valid, [normals.digests[row] for row in rows])
        if raw.maps:
            learning.add(raw.maps, valid)
    return learning.fitted()


def refuse_empty_maps(settings: MapSettings, normals: ImageSource) -> None:
    """UserError where the settings leave no position of any of these prepared normals."""
    if not (settings.erode or settings.has_prior):
        return
    for row in range(len(normals)):
        images, valid = normals.batch([row])
        area = area_of(valid, settings)
        kept = allowed(images[0], settings) & (True if area is None else area[0])
        if np.any(kept):
            return
    if len(normals):
        raise UserError(
            f"maps: erode: {settings.erode}, at_least: {settings.at_least} and at_most: {settings.at_most} "
            "leave no pixel of any validation normal; erode less, or take bounds from the prepared values"
        )
