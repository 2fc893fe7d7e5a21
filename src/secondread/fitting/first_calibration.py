"""The calibration that a fit ends with, from its own held-out normals."""

from __future__ import annotations

from collections.abc import Mapping

from secondread.calibration.calibration import Calibration
from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.gathered_scores import GatheredScores
from secondread.cohorts.cohorts import Cohorts
from secondread.fitting.map_normals import fitted_processing
from secondread.fitting.planning import HELD_OUT, refuse_nothing_held_out
from secondread.fitting.preparing import scaling_cohort
from secondread.postprocessing.map_settings import MapSettings
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.scoring.scorer import Scorer


def first_calibration(
    settings: CalibrationSettings,
    scorer: Scorer,
    sets: Mapping[str, PreparedSet],
    cohorts: Cohorts,
    *,
    seed: int,
    maps: bool = True,
    processing: MapSettings | None = None,
) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration from held-out normals, and the names of the detector's parts.

    `processing` is fitted first, so that all scales and thresholds are of processed maps.

    Of a fit without a normal the parts and maps are put on the scale of the unlabelled images, and nothing is
    decided. UserError where normals are there and none of them is held out.
    """

    learnt, scales = None, scaling_cohort(sets)
    if processing is not None:
        learnt = fitted_processing(processing, scorer, sets[scales])
    asked = scorer if learnt is None else scorer.with_processing(learnt)

    def gathered(cohort: str) -> GatheredScores:
        return asked.gather(sets[cohort], getattr(cohorts, cohort), settings, seed=seed, maps=maps)

    scored = {cohort: gathered(cohort) for cohort in HELD_OUT}
    refuse_nothing_held_out(cohorts.normal, scored)
    scaling = scored[scales] if scales in scored else gathered(scales)
    calibration = Calibration.fit(
        scaling,
        scored["calibration"],
        mixture=scorer.detector.mixture(),
        map_mixture=scorer.detector.map_mixture() if maps else None,
        settings=settings,
        of_unlabelled=scales == "unlabelled",
        processing=learnt,
    )
    return calibration, tuple(scaling.raw.parts)
