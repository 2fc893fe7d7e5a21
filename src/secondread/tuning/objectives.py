"""What a trial is judged by: nothing that needs a label, and no image of the test.

    synthetic  AUROC of held-out normals of the cohort `calibration`, from which nothing learns, against the
               same images with a synthetic anomaly each; the mean over the kinds of anomalies
    held-out   minus the loss on held-out normals of the last stage that has one, at the epoch that stays

The loss can be compared only among fits that have the same loss: settings of the training may be varied, and
none of the detector or of the preprocessing.

Synthetic anomalies are for the settings of one method; they did not rank methods
(docs/results/label-free-choice.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch

from secondread.anomalies.build import build_anomalies
from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.fitting.planning import LearnsFrom, planned_cohorts
from secondread.metrics.roc import auroc
from secondread.preprocessing.cache.place import open_cache
from secondread.preprocessing.prepared_set import prepare_set
from secondread.recipes.recipe import Recipe
from secondread.training.seeds import seeded_generator
from secondread.tuning.space import Varied

Objective: TypeAlias = Literal["synthetic", "held-out"]
OBJECTIVES: tuple[Objective, ...] = ("synthetic", "held-out")
KINDS = ("fpi", "cutpaste", "nsa")
"""Kinds of anomalies, where none is named."""
MOST_IMAGES = 200
BATCH = 16
SAME_LOSS = ("optimiser", "optimisers", "schedule", "epochs", "steps", "batch_size", "early_stop", "augment",
             "clip_norm", "moving_average", "keep")  # fmt: skip
"""Settings of a stage that leave the loss what it is."""


def refuse_objective(objective: str, varied: Sequence[Varied], recipe: Recipe, kinds: Sequence[str]) -> None:
    """Raises UserError for an objective that needs labels or is none, a loss that trials do not share, and an
    anomaly that does not exist."""
    if objective not in OBJECTIVES:
        raise UserError(
            f"--objective {objective}: settings are chosen without labels, by synthetic or held-out; what is "
            "chosen by labelled images must not be judged by them, and `compare` judges on the test"
        )
    if objective == "held-out":
        for one in varied:
            parts = one.key.split(".")
            if parts[0] != "stages" or len(parts) < 3 or parts[2] not in SAME_LOSS:
                raise UserError(
                    f"--vary {one.key}: with another value the loss on held-out normals is another loss, so "
                    "that its values cannot be compared; give --objective synthetic"
                )
        if not recipe.stages:
            raise UserError("the recipe trains no stage, so it has no loss; give --objective synthetic")
    for kind in kinds:
        build_anomalies({"name": kind, "share": 1.0}, "--anomalies")


def caution(objective: str, recipe: Recipe, kinds: Sequence[str]) -> str:
    """What a person should know of the objective beforehand; empty where there is nothing."""
    if objective != "synthetic":
        return ""
    text = recipe.model_dump_json(include={"detector"})
    learnt = [kind for kind in kinds if f'"{kind}"' in text or recipe.detector["name"] == kind]
    if learnt:
        return (
            f"the recipe learns from {' and '.join(learnt)} itself, which then says little of its settings; "
            "name other kinds with --anomalies"
        )
    return ""


def measure(
    objective: Objective, kinds: Sequence[str], manifest: Manifest, *, cache: Path | None, workers: int
) -> Callable[[Bundle], float]:
    """What gives a fitted bundle's value, higher = better. The manifest is that of the fit: no test row."""

    def synthetic(bundle: Bundle) -> float:
        return _synthetic(bundle, kinds, manifest, cache, workers)

    return synthetic if objective == "synthetic" else _held_out


def _held_out(bundle: Bundle) -> float:
    for stage in reversed(bundle.provenance.training.get("stages", [])):
        losses = {epoch["epoch"]: epoch["validation"] for epoch in stage["epochs"]}
        kept = stage["chosen_epoch"] if stage["chosen_epoch"] is not None else max(losses, default=None)
        if kept is not None and losses.get(kept) is not None:
            return -float(losses[kept])
    raise UserError("no stage of the recipe has a loss on held-out normals; give --objective synthetic")


def _synthetic(
    bundle: Bundle, kinds: Sequence[str], manifest: Manifest, cache: Path | None, workers: int
) -> float:
    recipe = bundle.recipe
    cohorts = planned_cohorts(
        LearnsFrom.of(bundle.detector), recipe, manifest, None,
        allow_shared_patients=bundle.provenance.allow_shared_patients,
    )  # fmt: skip
    rows = cohorts.calibration
    chosen = np.sort(np.random.default_rng(recipe.seed).permutation(len(rows))[:MOST_IMAGES])
    images = prepare_set(
        [manifest.reference(rows[place]) for place in chosen],
        bundle.preprocessing, cache=open_cache(cache), workers=workers,
    )  # fmt: skip
    if len(images) < 2:
        raise UserError(
            "the cohort calibration has fewer than 2 images to draw anomalies in; raise cohorts.calibration"
        )
    batches = np.array_split(np.arange(len(images)), max(1, len(images) // BATCH))
    pixels = [images.batch(batch.tolist()) for batch in batches]
    normal = np.concatenate([bundle.judge(*given).scores for given in pixels])
    areas = []
    for kind in kinds:
        make = build_anomalies({"name": kind, "share": 1.0}, "--anomalies")
        scores = []
        for number, (values, valid) in enumerate(pixels):
            inside = None if valid is None else torch.from_numpy(valid)
            generator = seeded_generator(recipe.seed, "tuning", kind, number)
            made = make(torch.from_numpy(values), generator, valid=inside).images.numpy()
            changed = (made != values).reshape(len(values), -1).any(axis=1)
            scores.append(bundle.judge(made, valid).scores[changed])
        others = np.concatenate(scores)
        if len(others):
            labels = np.repeat([False, True], [len(normal), len(others)])
            areas.append(auroc(labels, np.concatenate([normal, others])))
    value = float(np.mean(areas)) if areas else math.nan
    if not math.isfinite(value):
        raise UserError("the scores are not finite numbers, or no image could be changed")
    return value
