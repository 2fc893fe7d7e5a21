"""The training loop. It runs any detector's stages and knows none of them.

For each stage, in order: `prepare` and `start`; then rounds of steps, epoch by epoch
(`training.stage_training`); then `collect`; then `finish` and `examine`. `prepare`, `start`, `collect`,
`each_epoch`, `finish`, `examine` and validation run in eval mode without gradient; during steps what they
train is in train mode, and everything else in eval mode.

Everything random is drawn from the seed and from where it happens (stage, epoch, round), so a
checkpoint need not hold a generator, and a resumed fit gives exactly what an uninterrupted one gives
on the same machine. A step whose loss or gradient is not finite (or whose loss is beyond the stage's
`diverged_above`) changes nothing and is counted; many in a row end the fit (`training.divergence`), and
meanwhile no checkpoint replaces an earlier one.

The loss on held-out normals (cohort "validation") drives early stopping and `keep: best`. It stands in
for every cohort that the stage is on. Other rules measure the score (`training.choice`). The loop never
sees a label.

Under `torchrun` every process takes its part of each batch and gradients are averaged by number of
images. Two processes equal one up to rounding where a loss is a mean over images and the detector
has no batch statistics.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from secondread.detectors.contract import Detector, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.scoring.device import Repeatable, choose_device, make_fabric, place
from secondread.scoring.image_source import ImageSource
from secondread.terminal.events import log_event
from secondread.terminal.interruption import StopRequest
from secondread.training.batches.planned_stages import planned_stages
from secondread.training.batches.stage_data import stage_data
from secondread.training.checkpoint import Checkpoints
from secondread.training.choosing.label_free import refuse_missing_images
from secondread.training.fit_display import FitProgress
from secondread.training.fit_identity import fit_identity, refuse_another_fit
from secondread.training.fit_state import AfterRound, Run
from secondread.training.log import StageLog, TrainingLog
from secondread.training.observer import Observer
from secondread.training.seeds import derive_seed, seeded_generator
from secondread.training.stage_figures import note_examination, note_start
from secondread.training.stage_training import StageTraining
from secondread.training.training_precision import training_precision


def train(
    detector: Detector,
    cohorts: Mapping[str, ImageSource],
    stages: Mapping[str, StageSettings],
    *,
    seed: int,
    directory: Path | None = None,
    device: str | None = "auto",
    precision: str = "auto",
    resume: bool = False,
    progress: bool = True,
    checkpoint_seconds: float = 120.0,
    workers: int = 0,
    after_round: AfterRound | None = None,
    observers: Sequence[Observer] = (),
) -> TrainingLog:
    """Fits the detector in place.

    cohorts             name -> preprocessed images; "validation" holds held-out normals
    stages              settings by stage name (a recipe's `stages` section)
    directory           where checkpoints and frozen features lie while the fit runs; under several
                        processes one that all of them see. The caller removes it when all is done. None: no
                        checkpoints, and features in a temporary folder, for a fit in one process
    resume              go on from the newest whole checkpoint in `directory`, if there is one;
                        otherwise checkpoints there are removed
    checkpoint_seconds  a checkpoint at least this often, at the next round; besides one at the end
                        of epochs (not within ten seconds of the last) and of stages. 0: every round
    workers             processes at most in which synthetic anomalies are drawn ahead, where that pays
                        (`training.batches.drawing`); the numbers are the same with any, and with none
    observers           are told what happens, in process 0 alone; the numbers are the same without them

    Raises `UserError` (settings that do not fit, a checkpoint of another fit, training that diverged)
    and `Interrupted` (Ctrl-C or SIGTERM, after saving).
    """
    refuse_missing_images(cohorts, stages)
    detector.eval()  # a weight with power iteration moves whenever it is looked at in train mode
    place_of_work = choose_device(device)
    chosen = training_precision(detector, precision, place_of_work)
    fabric = make_fabric(place_of_work, chosen)
    learner = type(detector).__name__
    log_event(
        "training begins",
        detector=learner,
        device=str(place_of_work),
        precision=chosen,
        processes=fabric.world_size,
    )
    checkpoints = Checkpoints(None if directory is None else directory / "checkpoints")
    fingerprint = fit_identity(detector, cohorts, stages, seed, chosen, fabric)
    saved = checkpoints.latest() if resume else None
    if saved is not None and directory is not None:
        refuse_another_fit(fingerprint, saved["fingerprint"], directory)
    fabric.barrier()
    if fabric.is_global_zero:
        checkpoints.tidy(everything=saved is None)
    log = TrainingLog(fabric.device.type, chosen, fabric.world_size, seed)
    if saved is not None:
        log = TrainingLog.from_json(json.loads(saved["log"]))

    with (
        tempfile.TemporaryDirectory(prefix="secondread-")
        if directory is None
        else nullcontext(directory) as folder,
        StopRequest() as stop,
        FitProgress(progress and fabric.is_global_zero) as shown,
        torch.random.fork_rng(enabled=True),
        Repeatable(fabric.device),
    ):
        run = Run(
            detector, cohorts, fabric, chosen, seed, Path(folder), checkpoints, checkpoint_seconds,
            fingerprint, log, stop, shown, after_round, workers,
            observers if fabric.is_global_zero else (),
        )  # fmt: skip
        for observer in run.observers:
            observer.begun(log)
        sizes = {name: len(source) for name, source in cohorts.items()}
        shown.plan(planned_stages(detector.stages(), stages, sizes, detector.uses))
        torch.manual_seed(derive_seed(seed, "stages"))
        for number, stage in enumerate(detector.stages()):
            if saved is not None and number < saved["stage"]:
                continue
            if saved is not None:
                detector.load_fitted(saved["detector"])
            place(detector, fabric.device)
            _agree(fabric, detector)
            if saved is None or not saved["done"]:
                _run_stage(run, number, stage, _stage_settings(stage, stages), saved)
            saved = None
        _agree(fabric, detector)
        detector.eval()
        log.notes, log.warnings = list(detector.notes()), list(detector.warnings())
        for observer in run.observers:
            observer.ended(log)
    return log


def _run_stage(
    run: Run, number: int, stage: Stage, settings: StageSettings, saved: Mapping[str, Any] | None
) -> None:
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
        with torch.no_grad():
            for collected in loader.batches(run.unless_stopped(stage.name, planned)):
                with run.fabric.autocast():
                    stage.collect(collected)
                run.progress.advance()
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
        _stage_settings(stage, stages)


def _stage_settings(stage: Stage, stages: Mapping[str, StageSettings]) -> StageSettings:
    settings = stages.get(stage.name)
    if settings is None:
        if stage.steps:
            raise UserError(
                f"the recipe has no stages.{stage.name}, and the detector trains a stage of that name; "
                f"there is {', '.join(stages) or 'none'}"
            )
        return StageSettings()
    if stage.steps and settings.epochs is None and settings.steps is None:
        raise UserError(f"stages.{stage.name} says neither epochs nor steps; set one")
    names = [step.name for step in stage.steps]
    unknown = sorted(set(settings.optimisers) - set(names))
    if unknown:
        raise UserError(
            f"stages.{stage.name}.optimisers.{unknown[0]}: the stage has no step of that name; "
            f"there is {', '.join(names) or 'none'}"
        )
    return settings


def _agree(fabric: Fabric, detector: Detector) -> None:
    """Every process takes the parameters and buffers of process 0."""
    if fabric.world_size > 1:
        for tensor in detector.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
