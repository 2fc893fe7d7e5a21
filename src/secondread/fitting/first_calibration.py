"""The calibration that a fit ends with, from its own held-out normals."""

from __future__ import annotations

from collections.abc import Mapping

from secondread.calibration.calibration import Calibration
from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.gathered_scores import GatheredScores
from secondread.cohorts.cohorts import Cohorts
from secondread.errors import UserError
from secondread.fitting.preparing import HELD_OUT
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.recipes.recipe import Recipe
from secondread.scoring.scorer import Scorer


def held_out_scores(
    scorer: Scorer,
    sets: Mapping[str, PreparedSet],
    cohorts: Cohorts,
    settings: CalibrationSettings,
    *,
    seed: int,
    maps: bool = True,
) -> dict[str, GatheredScores]:
    """What the detector says of the fit's held-out normals, by cohort."""
    return {
        cohort: scorer.gather(sets[cohort], getattr(cohorts, cohort), settings, seed=seed, maps=maps)
        for cohort in HELD_OUT
    }


def first_calibration(
    recipe: Recipe, scorer: Scorer, sets: Mapping[str, PreparedSet], cohorts: Cohorts
) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration from held-out normals, and the names of the detector's parts."""
    scored = held_out_scores(scorer, sets, cohorts, recipe.calibration, seed=recipe.seed)
    for name, gathered in scored.items():
        if not len(gathered):
            raise UserError(f"cohort {name!r} is empty; raise cohorts.{name}")
    calibration = Calibration.fit(
        scored["validation"],
        scored["calibration"],
        mixture=scorer.detector.mixture(),
        map_mixture=scorer.detector.map_mixture(),
        settings=recipe.calibration,
    )
    return calibration, tuple(scored["validation"].raw.parts)
