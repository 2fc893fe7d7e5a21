"""From a recipe to its detector. Imports torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import ValidationError

from secondread.detectors import DETECTORS
from secondread.detectors.contract import LEARNT_FROM, Detector
from secondread.detectors.detector_settings import DetectorSettings
from secondread.errors import UserError
from secondread.postprocessing.map_settings import MapSettings
from secondread.recipes.completed_encoders import with_completed_encoders
from secondread.recipes.detector_size import plan_detector
from secondread.recipes.recipe import Recipe
from secondread.settings.mistakes import mistakes


def build_detector(
    recipe: Recipe,
    *,
    pretrained: bool = True,
    source: str = "recipe",
    plan: Callable[[Callable[[], Detector]], Detector] = plan_detector,
) -> Detector:
    """The recipe's detector, untrained, with parameters drawn from the recipe's seed.

    pretrained  False reads no weights (a bundle brings them)
    source      what messages call the recipe
    plan        builds it without memory first, and raises ValueError where it is too much

    Raises `UserError` for an unknown detector, settings that it does not have, a size that it does not
    take, more than a machine holds, or a cohort that no detector may learn from.
    """
    kind = DETECTORS.chosen(recipe.detector["name"], f"{source}: detector.name")
    recipe = with_completed_encoders(recipe) if pretrained else recipe
    settings = detector_settings(recipe, source=source)

    def make(pretrained: bool = False) -> Detector:
        torch.manual_seed(recipe.seed)
        return kind(settings, recipe.preprocessing.channels, recipe.detector_size, pretrained=pretrained)

    with torch.random.fork_rng():
        try:
            planned = plan(make)
            only_planned = torch.get_default_device().type == "meta" and not pretrained
            detector = planned if only_planned else make(pretrained)
        except ValueError as error:
            raise UserError(f"{source}: {error}") from error
    _check_cohorts(recipe, detector, source)
    _check_stages(recipe, detector, source)
    _check_maps(recipe, detector, source)
    return detector


def detector_settings(recipe: Recipe, *, source: str = "recipe") -> DetectorSettings:
    """What the recipe sets about its detector, with defaults. Raises `UserError` for an unknown detector and
    settings that it does not have."""
    kind = DETECTORS.chosen(recipe.detector["name"], f"{source}: detector.name")
    try:
        return kind.Settings.model_validate(recipe.detector)
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, kind.Settings, source, below="detector"))) from None


def _check_cohorts(recipe: Recipe, detector: Detector, source: str) -> None:
    """A detector that asks for anything but what may be learned from, such as the test, is refused."""
    name = recipe.detector["name"]
    asked = {f"detector {name}": detector.needs | detector.uses} | {
        f"stage {stage.name} of detector {name}": frozenset(stage.on) for stage in detector.stages()
    }
    for who, cohorts in asked.items():
        if others := sorted(cohorts - set(LEARNT_FROM)):
            raise UserError(
                f"{source}: {who} asks for the cohort {others[0]!r}; a detector learns from "
                f"{', '.join(LEARNT_FROM)} and nothing else"
            )


def _check_stages(recipe: Recipe, detector: Detector, source: str) -> None:
    """Every stage of the recipe is one of the detector's: a misspelt one would train nothing."""
    names = list(dict.fromkeys(stage.section for stage in detector.stages()))
    unknown = [name for name in recipe.stages if name not in names]
    if unknown:
        raise UserError(
            f"{source}: stages.{unknown[0]} is not a stage of {recipe.detector['name']}; "
            f"its stages are {', '.join(names) or 'none'}"
        )


def _check_maps(recipe: Recipe, detector: Detector, source: str) -> None:
    """Maps are there to be processed, and to be summed where they give a score."""
    if recipe.maps == MapSettings():
        return
    name, mixture = recipe.detector["name"], detector.map_mixture()
    if mixture is None:
        raise UserError(f"{source}: detector {name} gives no map, and maps says what is done with its maps")
    if recipe.maps.score != "none" and mixture.scaled and len(mixture.weights) > 1:
        raise UserError(
            f"{source}: maps.score is of one map, and detector {name} mixes {len(mixture.weights)} on "
            "the scale of validation normals, which is known after the scores; leave maps.score at none"
        )
