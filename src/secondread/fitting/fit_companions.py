"""The trivial baselines that every fit keeps, fitted on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from secondread.bundles.companions import Companions, build_companion, takes
from secondread.calibration.calibration import Calibration
from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.cohorts.cohorts import Cohorts
from secondread.detectors.contract import Detector
from secondread.detectors.trivial import BASELINES
from secondread.fitting.first_calibration import first_calibration
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.recipes.recipe import Recipe
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train


def fit_companions(
    recipe: Recipe,
    learn: Mapping[str, PreparedSet],
    sets: Mapping[str, PreparedSet],
    cohorts: Cohorts,
    folder: Path,
    device: str,
) -> Companions:
    """The trivial baselines that take this rank, fitted and calibrated on the same images: on the normals or,
    where there is none, on the unlabelled ones."""
    channels, size = recipe.preprocessing.channels, recipe.preprocessing.size
    detectors: dict[str, Detector] = {}
    calibrations: dict[str, Calibration] = {}
    settings = CalibrationSettings(false_alarm_rate=recipe.calibration.false_alarm_rate)
    for name in BASELINES:
        if not takes(name, size):
            continue
        detector = build_companion(name, channels, size)
        train(
            detector,
            {"normal": learn["normal"] if "normal" in learn else learn["unlabelled"]},
            {},
            seed=recipe.seed,
            directory=folder / name,
            device=device,
            precision="float32",
            progress=False,
        )
        detectors[name] = detector
        scorer = Scorer(detector, device=device, precision="float32")
        calibrations[name], _ = first_calibration(
            settings, scorer, sets, cohorts, seed=recipe.seed, maps=False
        )
    return Companions(detectors, calibrations)
