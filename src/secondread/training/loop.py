"""The training loop. It runs any detector's stages and knows none of them.

For each stage, in order: `prepare` and `start`; then rounds of steps, epoch by epoch; then `collect`; then
`finish` and `examine`. A round takes as many batches as its most repeated step (`Step.repeats`) and runs
each step in turn, a step with r repeats on the round's last r batches. `prepare`, `start`, `collect`,
`each_epoch`, `finish`, `examine` and validation run in eval mode without gradient; steps run in train mode.

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
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from secondread.detectors.contract import Detector, Stage
from secondread.detectors.settings import StageSettings
from secondread.errors import UserError
from secondread.training.batches import shard
from secondread.training.checkpoint import Checkpoints
from secondread.training.choice import Measure, refuse_missing_images
from secondread.training.data import ImageSource
from secondread.training.device import Repeatable, choose_device, choose_precision, make_fabric, place
from secondread.training.divergence import NOT_FINITE_AT_THE_END, refuse_divergence
from secondread.training.figures import note_examination, note_start
from secondread.training.held_out import held_out_loss
from secondread.training.identity import fit_identity, refuse_another_fit
from secondread.training.interruption import Interrupted, StopRequest
from secondread.training.keeping import Keeping
from secondread.training.kept_epochs import keep_epoch
from secondread.training.log import EpochLog, StageLog, TrainingLog
from secondread.training.optimise import MovingAverage, learning_rate, make_optimiser, step_parameters
from secondread.training.progress import FitProgress
from secondread.training.run import AfterRound, Run, StageProgress
from secondread.training.seeds import derive_seed, seeded_generator
from secondread.training.stage_data import StageData, stage_data
from secondread.training.step import take_step

SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 10.0


def train(
    detector: Detector,
    cohorts: Mapping[str, ImageSource],
    stages: Mapping[str, StageSettings],
    *,
    seed: int,
    directory: Path,
    device: str | None = "auto",
    precision: str = "auto",
    resume: bool = False,
    progress: bool = True,
    checkpoint_seconds: float = 120.0,
    after_round: AfterRound | None = None,
) -> TrainingLog:
    """Fits the detector in place.

    cohorts             name -> preprocessed images; "validation" holds held-out normals
    stages              settings by stage name (a recipe's `stages` section)
    directory           where checkpoints and frozen features lie while the fit runs; under several
                        processes one that all of them see. The caller removes it when all is done
    resume              go on from the newest whole checkpoint in `directory`, if there is one;
                        otherwise checkpoints there are removed
    checkpoint_seconds  a checkpoint at least this often, at the next round; besides one at the end
                        of epochs (not within ten seconds of the last) and of stages. 0: every round

    Raises `UserError` (settings that do not fit, a checkpoint of another fit, training that diverged)
    and `Interrupted` (Ctrl-C or SIGTERM, after saving).
    """
    refuse_missing_images(cohorts, stages)
    place_of_work = choose_device(device)
    chosen = choose_precision(precision, place_of_work)
    fabric = make_fabric(place_of_work, chosen)
    checkpoints = Checkpoints(directory / "checkpoints")
    fingerprint = fit_identity(detector, cohorts, stages, seed, chosen, fabric)
    saved = checkpoints.latest() if resume else None
    if saved is not None:
        refuse_another_fit(fingerprint, saved["fingerprint"], directory)
    fabric.barrier()
    if fabric.is_global_zero:
        checkpoints.tidy(everything=saved is None)
    log = TrainingLog(fabric.device.type, chosen, fabric.world_size, seed)
    if saved is not None:
        log = TrainingLog.from_json(json.loads(saved["log"]))

    with (
        StopRequest() as stop,
        FitProgress(progress and fabric.is_global_zero) as shown,
        torch.random.fork_rng(enabled=True),
        Repeatable(fabric.device),
    ):
        run = Run(
            detector, cohorts, fabric, chosen, seed, directory, checkpoints, checkpoint_seconds,
            fingerprint, log, stop, shown, after_round,
        )  # fmt: skip
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
        _train_stage(run, number, stage, settings, data, saved, stage_log)

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


def _train_stage(
    run: Run,
    number: int,
    stage: Stage,
    settings: StageSettings,
    data: StageData,
    saved: Mapping[str, Any] | None,
    stage_log: StageLog,
) -> None:
    detector, fabric = run.detector, run.fabric
    parameters = [step_parameters(step) for step in stage.steps]
    optimisers = [make_optimiser(step, settings.optimiser) for step in stage.steps]
    trained = list({id(p): p for group in parameters for p in group}.values())
    average = MovingAverage(trained, settings.moving_average) if settings.moving_average else None
    keeping = Keeping(settings.keep, detector, trained, None if saved is None else saved["best"])
    measure = Measure.of(run, stage, settings)
    at = StageProgress()
    if saved is not None:
        at = StageProgress(**json.loads(saved["progress"]))
        run.unproven = True
        for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        if average is not None:
            average.load(saved["average"])

    batches_per_round = max(step.repeats for step in stage.steps)
    rounds_per_epoch = math.ceil(data.plan.batches_per_epoch / batches_per_round)
    total = min(
        math.inf if settings.epochs is None else settings.epochs * rounds_per_epoch,
        math.inf if settings.steps is None else settings.steps,
    )
    epochs = math.ceil(total / rounds_per_epoch)

    def save() -> None:
        run.count_seconds()
        run.save(
            {
                "stage": number,
                "done": False,
                "features": data.features_key,
                "progress": json.dumps(vars(at)),
                "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                "average": None if average is None else average.values,
                "best": keeping.best,
            }
        )

    while at.epoch < epochs and not at.stopped:
        order = data.plan.epoch(at.epoch)
        rounds = min(rounds_per_epoch, int(total) - at.epoch * rounds_per_epoch)
        upcoming = [shard(batch, fabric.global_rank, fabric.world_size) for batch in order]
        coming = data.loader.batches(
            upcoming[at.round * batches_per_round : rounds * batches_per_round], at.epoch
        )
        run.progress.begin(f"{stage.name} {at.epoch + 1}/{epochs}", rounds, at.round)
        detector.train()
        while at.round < rounds:
            began = time.monotonic()
            at.lr = learning_rate(
                settings.schedule,
                settings.optimiser.lr,
                at.epoch * rounds_per_epoch + at.round,
                int(total),
            )
            first = at.round * batches_per_round
            planned = order[first : first + batches_per_round]
            together = [next(coming) for _ in planned]
            stopping = False
            for index, step in enumerate(stage.steps):
                repeats = min(step.repeats, len(together))
                for repeat, batches in enumerate(together[-repeats:]):
                    where = (stage.name, at.epoch, at.round, index, repeat, fabric.global_rank)
                    outcome = take_step(
                        run, stage, step, parameters[index], optimisers[index], batches,
                        planned[len(planned) - repeats + repeat], at, where, settings,
                    )  # fmt: skip
                    stopping = stopping or outcome
            if average is not None:
                average.update()
            at.round += 1
            at.images += sum(len(rows) for batch in planned for rows in batch.values())
            at.seconds += time.monotonic() - began
            run.progress.advance()
            if stopping:
                save()
                raise Interrupted(
                    f"interrupted in stage {stage.name!r}, epoch {at.epoch + 1}, step {at.round}; "
                    "everything so far is saved: continue with --resume"
                )
            if not at.not_finite_in_a_row and time.monotonic() - run.saved_at >= run.checkpoint_seconds:
                save()
            if run.after_round is not None:
                run.after_round(stage.name, at.epoch, at.round)

        detector.eval()
        if stage.each_epoch is not None:
            with torch.no_grad():
                stage.each_epoch(at.epoch)
        if average is not None:
            average.swap()
        loss = None
        if data.held_out is not None:
            loss = held_out_loss(run, stage, settings, data)
            _note_gain(at, loss, settings)
        last = at.stopped or at.epoch + 1 >= epochs
        measured = measure() if measure.due(at.epoch, last=last) else {}
        keeping.consider(at, loss, measured)
        often = settings.keep_every
        if often and (last or (at.epoch + 1) % often == 0) and fabric.is_global_zero:
            keep_epoch(run.directory, stage.name, at.epoch, keeping.snapshot())
        if average is not None:
            average.swap()
        means = {name: at.sums[name] / at.taken[name] for name in at.sums}
        shown_loss = loss if loss is not None and math.isfinite(loss) else None
        epoch_log = EpochLog(at.epoch, means, shown_loss, at.lr, at.skipped, at.images, at.seconds, measured)
        stage_log.epochs.append(epoch_log)
        run.progress.epoch(stage.name, epoch_log, epochs)
        at.start_epoch(at.epoch + 1)
        due = min(run.checkpoint_seconds, SECONDS_BETWEEN_EPOCH_CHECKPOINTS)
        if not at.not_finite_in_a_row and time.monotonic() - run.saved_at >= due:
            save()

    if keeping.best is None and at.not_finite_in_a_row >= min(NOT_FINITE_AT_THE_END, total):
        refuse_divergence(run, stage, settings, at, at.epoch - 1, ", to the stage's end")
    stage_log.chosen_epoch, stage_log.rule = keeping.settle(at, average)
    if at.stopped:
        stage_log.rule += f"; stopped early after {at.epoch} of {epochs} epochs"


def _note_gain(at: StageProgress, loss: float, settings: StageSettings) -> None:
    """Whether the loss on held-out normals still falls, and if not for long enough, that training stops."""
    stop = settings.early_stop
    if loss < at.loss_at_gain - (stop.min_delta if stop else 0.0):
        at.loss_at_gain, at.epochs_without_gain = loss, 0
    else:
        at.epochs_without_gain += 1
    at.stopped = stop is not None and at.epochs_without_gain >= stop.patience


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
    return settings


def _agree(fabric: Fabric, detector: Detector) -> None:
    """Every process takes the parameters and buffers of process 0."""
    if fabric.world_size > 1:
        for tensor in detector.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
