"""What a fit would do, in lines, without doing it. The detector is built without memory."""

from __future__ import annotations

from pathlib import Path

import torch

from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest
from secondread.detectors.contract import Detector
from secondread.fitting.checks.first_look import PARTS, Look
from secondread.fitting.checks.mixed_parts import refuse_unknown_parts
from secondread.fitting.checks.problem import refuse
from secondread.fitting.checks.room import bytes_of_fit, bytes_of_images, cache_folder, no_room_for_output
from secondread.fitting.checks.trial import trial
from secondread.fitting.epoch_bundles import refuse_epochs
from secondread.fitting.planning import LearnsFrom, listed_auxiliary, planned_cohorts
from secondread.fitting.unfinished import Unfinished
from secondread.networks.on_meta.shapes_only import ShapesOnly
from secondread.networks.weights.find import find_weights
from secondread.networks.weights.sources import SOURCES
from secondread.outputs.folders import partial
from secondread.recipes.build import build_detector
from secondread.recipes.completed_encoders import with_completed_encoders
from secondread.recipes.named_encoders import encoders_of
from secondread.recipes.recipe import Recipe
from secondread.scoring.device import choose_device
from secondread.training.one_stage import refuse_other_stages
from secondread.training.planning.planned_stages import PlannedStage, planned_stages
from secondread.training.training_precision import training_precision
from secondread.wording.sizes import in_words, times


def second_look(
    recipe: Recipe, manifest: Manifest, look: Look, *, source: str = "recipe"
) -> tuple[Detector, Cohorts]:
    """The detector, built without memory, and its cohorts. Raises what the fit would for its settings,
    cohorts, stages and the device, and then where none of a few training images can be prepared."""
    choose_device(look.device)
    recipe = with_completed_encoders(recipe)
    with torch.device("meta"), ShapesOnly():
        detector = build_detector(recipe, pretrained=False, source=source)
    refuse_epochs(detector, recipe)
    refuse_other_stages(detector, recipe.stages)
    refuse_unknown_parts(recipe, detector, source=source)
    auxiliary = listed_auxiliary(recipe, workers=look.workers, shown=False)
    cohorts = planned_cohorts(
        LearnsFrom.of(detector), recipe, manifest, auxiliary, allow_shared_patients=look.allow_shared_patients
    )
    refuse(trial(recipe, manifest, cohorts, look.cache, look.workers))
    return detector, cohorts


def outline(
    recipe: Recipe, manifest: Manifest, look: Look, out: Path, *, source: str = "recipe"
) -> list[str]:
    """Lines on cohorts, stages, size, weights, device and output. Raises as `second_look`."""
    detector, cohorts = second_look(recipe, manifest, look, source=source)
    device = choose_device(look.device)
    precision = training_precision(detector, recipe.precision, device)
    sizes = {name: len(getattr(cohorts, name)) for name in (*PARTS, "auxiliary")}
    count = sum(sizes.values())
    settings = recipe.preprocessing
    needed = bytes_of_fit(detector)
    state = sum(value.numel() for value in detector.state_dict().values())
    trained = sum(p.numel() for p in detector.parameters() if p.requires_grad)
    cache = cache_folder(look.cache)
    room = in_words(bytes_of_images(settings, count))
    going_on = " (goes on from its last checkpoint)" if Unfinished(out, {}).begun else ""
    return [
        f"recipe: {source}: detector {recipe.detector['name']}, seed {recipe.seed}",
        f"images: {', '.join(f'{size:,} {name}' for name, size in sizes.items() if size)}; prepared as "
        f"{times((settings.channels, *settings.size))}, up to {room} in {cache}",
        *(f"note: {note}" for note in cohorts.notes),
        *stage_lines(planned_stages(detector.stages(), recipe.stages, sizes, detector.uses)),
        f"detector: {state:,} numbers, {trained:,} of them trained",
        *_weights(recipe),
        f"device: {device}, {precision}",
        f"output: {out}{going_on}, up to {in_words(needed)} on disk meanwhile",
        *(problem.text for problem in no_room_for_output(partial(out), needed)),
    ]


def stage_lines(stages: list[PlannedStage]) -> list[str]:
    """One for each."""
    return [
        f"stage {stage.name}: {stage.epochs:,} epochs, {stage.steps:,} steps of {stage.batch} images"
        if stage.steps
        else f"stage {stage.name}: one pass over {stage.images:,} images"
        for stage in stages
    ]


def _weights(recipe: Recipe) -> list[str]:
    found = []
    for encoder in encoders_of(recipe.detector):
        name, given = str(encoder.get("name", "")), encoder.get("weights")
        if name in SOURCES and given != "random":
            found.append(f"weights: {find_weights(name, given or None, SOURCES[name])}")
    return list(dict.fromkeys(found))
