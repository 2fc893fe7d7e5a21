"""Raw scores of a cohort of held-out normals, gathered for calibration without keeping a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.complexity import COMPLEXITY, complexity
from secondread.calibration.gathered_scores import GatheredScores
from secondread.calibration.raw_scores import RawScores
from secondread.cohorts.manifest import Row, shared_file
from secondread.detectors.contract import Detector
from secondread.errors import UserError
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.scoring.scorer import score_batch

BATCH_SIZE = 16


def with_complexity(raw: RawScores, pixels: NDArray[np.float32], settings: CalibrationSettings) -> RawScores:
    """The raw scores with the part `complexity`, measured on the prepared images `[n, C, *size]`, where
    the calibration takes it out; else unchanged."""
    if settings.complexity == "none":
        return raw
    return raw.with_part(COMPLEXITY, np.array([complexity(image) for image in pixels]))


def gather_scores(
    detector: Detector,
    images: PreparedSet,
    rows: Sequence[Row],
    settings: CalibrationSettings,
    *,
    device: str,
    precision: str,
    seed: int,
    maps: bool = True,
) -> GatheredScores:
    """Scores of all images, with their patients and studies; `rows` are those that were asked for.

    Raises UserError where a score is not finite: such a normal cannot be ranked, and leaving it out would
    promise too low a false-alarm rate.
    """
    gathered = GatheredScores(map_sample=settings.map_sample, seed=seed)
    kept = [rows[position] for position in images.positions]
    for start in range(0, len(images), BATCH_SIZE):
        chosen = range(start, min(start + BATCH_SIZE, len(images)))
        pixels, valid = images.batch(chosen)
        digests = [images.digests[i] for i in chosen]
        raw = score_batch(detector, pixels, valid, digests, device=device, precision=precision, maps=maps)
        raw = with_complexity(raw, pixels, settings)
        if not raw.finite.all():
            first = images.references[chosen[int(np.argmin(raw.finite))]]
            raise UserError(
                f"{first}: this held-out normal has no finite score, so no false-alarm rate can be promised; "
                "lower the learning rate, or set precision: float32"
            )
        used = [kept[i] for i in chosen]
        gathered.add(
            raw,
            patients=[row.patient_id or shared_file(row.path) or None for row in used],
            studies=[row.study_id or None for row in used],
            valid=valid,
        )
    return gathered
