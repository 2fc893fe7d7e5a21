"""One stage, from its first hook to its last."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from secondread.detectors.contract import Detector, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.scoring.kept_encodings import kept_encodings
from secondread.training.batches.stage_data import cache_for, stage_data
from secondread.training.fit_state import Run
from secondread.training.log import StageLog
from secondread.training.seeds import seeded_generator
from secondread.training.stage_figures import note_examination, note_start
from secondread.training.stage_training import StageTraining


def run_stage(
    run: Run, number: int, stage: Stage, settings: StageSettings, saved: Mapping[str, Any] | None
) -> None:
    """The stage, from its start or from a checkpoint of its rounds; then it is saved as done."""
    detector, log = run.detector, run.log
    run.counted_at = time.monotonic()
    if saved is None:
        log.stages.append(StageLog(stage.name))
    stage_log = log.stages[-1]
    features_key = "" if saved is None else saved["features"]
    data = stage_data(run, stage, settings, features_key)
    plan, loader = data.plan, data.loader

    if saved is None and stage.prepare is not None:
        detector.eval()
        with torch.no_grad(), run.fabric.autocast():
            batches = loader.batches(run.unless_stopped(stage.name, plan.epoch(0)))
            stage.prepare(batches, seeded_generator(run.seed, stage.name, "prepare"))
    if saved is None:
        note_start(run, stage, data)

    if stage.steps:
        StageTraining(run, number, stage, settings, data, saved).train(stage_log)

    if stage.collect is not None:
        detector.eval()
        planned = plan.in_order()
        run.progress.begin(f"{stage.name}: collecting", len(planned))
        cache = cache_for(run, *loader.sources.values())
        with torch.no_grad(), kept_encodings(detector, cache, halved=True) as kept:
            for collected in loader.batches(run.unless_stopped(stage.name, planned)):
                with run.fabric.autocast():
                    stage.collect(collected)
                run.progress.advance()
        run.note_spared(kept)
    if stage.finish is not None:
        detector.eval()
        with torch.no_grad():
            stage.finish()
    note_examination(run, stage, settings)
    run.count_seconds()
    stage_log.skipped = sum(epoch.skipped for epoch in stage_log.epochs)
    if not stage_log.rule:
        stage_log.rule = "one pass over the data" if stage.collect else "prepared once"
    run.save({"stage": number, "done": True})


def refuse_other_stages(detector: Detector, stages: Mapping[str, StageSettings]) -> None:
    """UserError for settings that a stage cannot do with: missing ones, no length, steps that it has not."""
    for stage in detector.stages():
        stage_settings(stage, stages)


def stage_settings(stage: Stage, stages: Mapping[str, StageSettings]) -> StageSettings:
    """The section of a stage; UserError as `refuse_other_stages`."""
    settings = stages.get(stage.section)
    if settings is None:
        if stage.steps:
            raise UserError(
                f"the recipe has no stages.{stage.section}, and the detector trains a stage of that name; "
                f"there is {', '.join(stages) or 'none'}"
            )
        return StageSettings()
    if stage.steps and settings.epochs is None and settings.steps is None:
        raise UserError(f"stages.{stage.section} says neither epochs nor steps; set one")
    names = [step.name for step in stage.steps]
    unknown = sorted(set(settings.optimisers) - set(names))
    if unknown:
        raise UserError(
            f"stages.{stage.section}.optimisers.{unknown[0]}: the stage has no step of that name; "
            f"there is {', '.join(names) or 'none'}"
        )
    return settings
