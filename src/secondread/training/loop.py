"""The training loop. It runs any detector's stages and knows none of them.

For each stage, in order: `prepare`; then rounds of steps, epoch by epoch; then `collect`; then
`finish`. A round takes as many batches as its most repeated step (`Step.repeats`) and runs each step in
turn, a step with r repeats on the round's last r batches. `prepare`, `collect`, `each_epoch`, `finish`
and validation run in eval mode without gradient; steps run in train mode.

Everything random is drawn from the seed and from where it happens (stage, epoch, round), so a
checkpoint need not hold a generator, and a resumed fit gives exactly what an uninterrupted one gives
on the same machine. A step whose loss or gradient is not finite changes nothing and is counted.

The loss on held-out normals (cohort "validation") drives early stopping and `keep: best`. It stands in
for every cohort that the stage is on; the loop never sees a label.

Under `torchrun` every process takes its part of each batch and gradients are averaged by number of
images. Two processes equal one up to rounding where a loss is a mean over images and the detector
has no batch statistics.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from secondread.detectors.contract import Batch, Batches, Detector, Loss, Stage, Step
from secondread.detectors.settings import StageSettings
from secondread.errors import UserError
from secondread.training.batches import BatchPlan, shard
from secondread.training.checkpoint import Checkpoints
from secondread.training.data import ImageSource
from secondread.training.device import Precision, choose_device, choose_precision, make_fabric, place
from secondread.training.features import FrozenFeatures, features_key, frozen_features
from secondread.training.interruption import Interrupted, StopRequest
from secondread.training.loading import Loader
from secondread.training.log import EpochLog, StageLog, TrainingLog
from secondread.training.optimise import (
    MovingAverage,
    RunningStatistics,
    gradients_only_for,
    learning_rate,
    make_optimiser,
    step_parameters,
)
from secondread.training.progress import FitProgress
from secondread.training.seeds import derive_seed, seeded_generator

VALIDATION = "validation"
NOT_FINITE_IN_A_ROW = 50
SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 10.0

AfterRound = Callable[[str, int, int], None]
"""Called after each round and its checkpoint with (stage, epoch, round)."""


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
    place_of_work = choose_device(device)
    chosen = choose_precision(precision, place_of_work)
    fabric = make_fabric(place_of_work, chosen)
    checkpoints = Checkpoints(directory / "checkpoints")
    fingerprint = _fingerprint(detector, cohorts, stages, seed, chosen, fabric)
    saved = checkpoints.latest() if resume else None
    if saved is not None:
        _refuse_another_fit(fingerprint, saved["fingerprint"], directory)
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
        _repeatable(fabric.device),
    ):
        run = _Run(
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
    return log


@dataclass
class _Run:
    """What stays the same from stage to stage."""

    detector: Detector
    cohorts: Mapping[str, ImageSource]
    fabric: Fabric
    precision: Precision
    seed: int
    directory: Path
    checkpoints: Checkpoints
    checkpoint_seconds: float
    fingerprint: dict[str, str]
    log: TrainingLog
    stop: StopRequest
    progress: FitProgress
    after_round: AfterRound | None
    saved_at: float = field(default_factory=time.monotonic)

    def save(self, state: Mapping[str, Any]) -> None:
        if self.fabric.is_global_zero:
            self.checkpoints.save(
                {
                    "fingerprint": self.fingerprint,
                    "detector": self.detector.state_dict(),
                    "log": json.dumps(self.log.to_json()),
                    **state,
                }
            )
        self.saved_at = time.monotonic()

    def stop_between_batches(self, stage: str) -> None:
        """Ctrl-C while there is nothing to save: the last checkpoint stands. Several processes stop
        together, at a round."""
        if self.stop.requested and self.fabric.world_size == 1:
            raise Interrupted(f"interrupted in stage {stage!r}; continue with --resume")


@dataclass
class _Progress:
    """Where a stage is: everything that its rounds change apart from the detector and optimisers."""

    epoch: int = 0
    round: int = 0
    not_finite_in_a_row: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    images: int = 0
    seconds: float = 0.0
    lr: float = 0.0
    best_loss: float = math.inf
    best_epoch: int | None = None
    loss_at_gain: float = math.inf
    epochs_without_gain: int = 0
    stopped: bool = False

    def start_epoch(self, epoch: int) -> None:
        self.epoch, self.round, self.skipped, self.images, self.seconds = epoch, 0, 0, 0, 0.0
        self.sums, self.taken = {}, {}


def _run_stage(
    run: _Run, number: int, stage: Stage, settings: StageSettings, saved: Mapping[str, Any] | None
) -> None:
    detector, log = run.detector, run.log
    started = time.monotonic()
    if saved is None:
        log.stages.append(StageLog(stage.name))
    stage_log = log.stages[-1]
    sources = {name: _cohort(run.cohorts, name, stage) for name in stage.on}
    validation = run.cohorts.get(VALIDATION)
    held_out = validation if stage.steps and validation is not None and len(validation) else None
    _refuse_missing_validation(stage, settings, held_out)
    plan = BatchPlan(
        {name: len(source) for name, source in sources.items()},
        stage.on, settings.batch_size, run.seed, stage.name,
    )  # fmt: skip
    features, key = _stage_features(run, stage, settings, sources, held_out, saved)
    loader = Loader(
        sources, run.fabric.device, features, settings.augment, derive_seed(run.seed, stage.name, "augment")
    )

    if saved is None and stage.prepare is not None:
        detector.eval()
        with torch.no_grad(), run.fabric.autocast():
            batches = loader.batches(_unless_stopped(run, stage, plan.epoch(0)))
            stage.prepare(batches, seeded_generator(run.seed, stage.name, "prepare"))

    if stage.steps:
        _train_stage(run, number, stage, settings, plan, loader, held_out, features, key, saved, stage_log)

    if stage.collect is not None:
        detector.eval()
        planned = plan.in_order()
        run.progress.begin(f"{stage.name}: collecting", len(planned))
        with torch.no_grad():
            for batches in loader.batches(_unless_stopped(run, stage, planned)):
                with run.fabric.autocast():
                    stage.collect(batches)
                run.progress.advance()
    if stage.finish is not None:
        detector.eval()
        with torch.no_grad():
            stage.finish()
    stage_log.seconds += time.monotonic() - started
    stage_log.skipped = sum(epoch.skipped for epoch in stage_log.epochs)
    if not stage_log.rule:
        stage_log.rule = "one pass over the data"
    run.save({"stage": number, "done": True})


def _train_stage(
    run: _Run,
    number: int,
    stage: Stage,
    settings: StageSettings,
    plan: BatchPlan,
    loader: Loader,
    held_out: ImageSource | None,
    features: Mapping[str, FrozenFeatures],
    key: str,
    saved: Mapping[str, Any] | None,
    stage_log: StageLog,
) -> None:
    detector, fabric = run.detector, run.fabric
    parameters = [step_parameters(step) for step in stage.steps]
    optimisers = [make_optimiser(group, settings.optimiser) for group in parameters]
    trained = list({id(p): p for group in parameters for p in group}.values())
    average = MovingAverage(trained, settings.moving_average) if settings.moving_average else None
    best: dict[str, Tensor] | None = None
    at = _Progress()
    if saved is not None:
        at = _Progress(**json.loads(saved["progress"]))
        best = saved["best"]
        for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        if average is not None:
            average.load(saved["average"])

    batches_per_round = max(step.repeats for step in stage.steps)
    rounds_per_epoch = math.ceil(plan.batches_per_epoch / batches_per_round)
    total = min(
        math.inf if settings.epochs is None else settings.epochs * rounds_per_epoch,
        math.inf if settings.steps is None else settings.steps,
    )
    epochs = math.ceil(total / rounds_per_epoch)

    def save() -> None:
        run.save(
            {
                "stage": number,
                "done": False,
                "features": key,
                "progress": json.dumps(vars(at)),
                "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                "average": None if average is None else average.values,
                "best": best,
            }
        )

    while at.epoch < epochs and not at.stopped:
        order = plan.epoch(at.epoch)
        rounds = min(rounds_per_epoch, int(total) - at.epoch * rounds_per_epoch)
        upcoming = [shard(batch, fabric.global_rank, fabric.world_size) for batch in order]
        coming = loader.batches(upcoming[at.round * batches_per_round : rounds * batches_per_round], at.epoch)
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
                    outcome = _take_step(
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
            if time.monotonic() - run.saved_at >= run.checkpoint_seconds:
                save()
            if run.after_round is not None:
                run.after_round(stage.name, at.epoch, at.round)

        detector.eval()
        if stage.each_epoch is not None:
            with torch.no_grad():
                stage.each_epoch(at.epoch)
        loss = None
        if held_out is not None:
            if average is not None:
                average.swap()
            loss = _held_out_loss(run, stage, settings, held_out, features)
            if loss < at.best_loss:
                at.best_loss, at.best_epoch = loss, at.epoch
                if settings.keep == "best":
                    best = _snapshot(detector, trained)
            if loss < at.loss_at_gain - (settings.early_stop.min_delta if settings.early_stop else 0.0):
                at.loss_at_gain, at.epochs_without_gain = loss, 0
            else:
                at.epochs_without_gain += 1
            if average is not None:
                average.swap()
        means = {name: at.sums[name] / at.taken[name] for name in at.sums}
        shown_loss = loss if loss is not None and math.isfinite(loss) else None
        epoch_log = EpochLog(at.epoch, means, shown_loss, at.lr, at.skipped, at.images, at.seconds)
        stage_log.epochs.append(epoch_log)
        run.progress.epoch(stage.name, epoch_log, epochs)
        patience = settings.early_stop.patience if settings.early_stop else math.inf
        at.stopped = at.epochs_without_gain >= patience
        at.start_epoch(at.epoch + 1)
        if time.monotonic() - run.saved_at >= min(run.checkpoint_seconds, SECONDS_BETWEEN_EPOCH_CHECKPOINTS):
            save()

    stage_log.chosen_epoch = at.epoch - 1
    if best is not None:
        detector.load_state_dict(best, strict=False)
        stage_log.chosen_epoch = at.best_epoch
        stage_log.rule = "lowest loss on held-out normals"
    elif average is not None:
        average.swap()
        stage_log.rule = "moving average after the last epoch"
    else:
        stage_log.rule = "last epoch"
    if at.stopped:
        stage_log.rule += f"; stopped early after {at.epoch} of {epochs} epochs"


def _take_step(
    run: _Run,
    stage: Stage,
    step: Step,
    parameters: Sequence[nn.Parameter],
    optimiser: Optimizer,
    batches: Batches,
    planned: Mapping[str, Any],
    at: _Progress,
    where: tuple[int | str, ...],
    settings: StageSettings,
) -> bool:
    """One gradient step. Returns whether any process was asked to stop."""
    fabric = run.fabric
    torch.manual_seed(derive_seed(run.seed, *where, "layers"))
    statistics = RunningStatistics(run.detector)
    with gradients_only_for(run.detector, parameters):
        with fabric.autocast():
            terms = dict(step.loss(batches, seeded_generator(run.seed, *where)))
        values = {name: value.float() for name, value in terms.items()}
        total = torch.stack(list(values.values())).sum()
        here = sum(len(batch) for batch in batches.values())
        everywhere = sum(len(rows) for rows in planned.values())
        share = here * fabric.world_size / everywhere
        fabric.backward(total * share)
    logged = torch.stack([*values.values(), total.new_tensor(float(run.stop.requested))]).detach()
    if fabric.world_size > 1:
        logged[:-1] *= share
        logged = fabric.all_reduce(logged, reduce_op="mean")
        _average_gradients(fabric, parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients) if gradients else total.detach()
    *numbers, length, stopping = [*logged[:-1].tolist(), float(norm), float(logged[-1])]
    if math.isfinite(length) and all(math.isfinite(number) for number in numbers):
        if settings.clip_norm is not None and length > settings.clip_norm:
            nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, norm)
        for group in optimiser.param_groups:
            group["lr"] = at.lr
        optimiser.step()
        at.not_finite_in_a_row = 0
        for name, number in zip(values, numbers, strict=True):
            shown = f"{step.name}.{name}" if len(stage.steps) > 1 else name
            at.sums[shown] = at.sums.get(shown, 0.0) + number
            at.taken[shown] = at.taken.get(shown, 0) + 1
    else:
        statistics.restore()
        at.skipped += 1
        at.not_finite_in_a_row += 1
        if at.not_finite_in_a_row >= NOT_FINITE_IN_A_ROW:
            shown = ", ".join(f"{name} {number}" for name, number in zip(values, numbers, strict=True))
            raise UserError(
                f"stage {stage.name!r}, epoch {at.epoch + 1}: the loss or its gradient was not finite "
                f"{NOT_FINITE_IN_A_ROW} steps in a row ({shown}); lower stages.{stage.name}.optimiser.lr "
                f"(now {settings.optimiser.lr:g}), set stages.{stage.name}.clip_norm, or precision: float32"
            )
    optimiser.zero_grad(set_to_none=True)
    return stopping > 0


def _agree(fabric: Fabric, detector: Detector) -> None:
    """Every process takes the parameters and buffers of process 0."""
    if fabric.world_size > 1:
        for tensor in detector.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)


def _average_gradients(fabric: Fabric, parameters: Sequence[nn.Parameter]) -> None:
    """The mean over processes, in one message. Losses call parts of the detector and not its `forward`,
    which is where DistributedDataParallel would hook in."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    flat = fabric.all_reduce(torch.cat([g.float().flatten() for g in gradients]), reduce_op="mean")
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


@torch.no_grad()
def _held_out_loss(
    run: _Run,
    stage: Stage,
    settings: StageSettings,
    held_out: ImageSource,
    features: Mapping[str, FrozenFeatures],
) -> float:
    """The mean loss over held-out normals, with the same draws in every epoch."""
    fabric = run.fabric
    kept = {VALIDATION: features[VALIDATION]} if VALIDATION in features else {}
    loader = Loader({VALIDATION: held_out}, fabric.device, kept)
    plan = BatchPlan(
        {VALIDATION: len(held_out)}, {VALIDATION: 1.0}, settings.batch_size, run.seed, stage.name
    )
    mine = list(enumerate(plan.in_order()))[fabric.global_rank :: fabric.world_size]
    losses: Sequence[Loss] = [stage.validate] if stage.validate else [step.loss for step in stage.steps]
    total = torch.zeros(2, dtype=torch.float64)
    for (number, _), batches in zip(mine, loader.batches(indices for _, indices in mine), strict=True):
        batch: Batch = batches[VALIDATION]
        everyone = {**dict.fromkeys(stage.on, batch), VALIDATION: batch}
        for index, loss in enumerate(losses):
            torch.manual_seed(derive_seed(run.seed, stage.name, VALIDATION, number, index, "layers"))
            generator = seeded_generator(run.seed, stage.name, VALIDATION, number, index)
            with fabric.autocast():
                terms = loss(everyone, generator)
            total[0] += len(batch) * sum(float(value) for value in terms.values())
        total[1] += len(batch)
    summed = fabric.all_reduce(total.to(fabric.device), reduce_op="sum")
    loss_value = float(summed[0] / summed[1])
    return loss_value if math.isfinite(loss_value) else math.inf


def _stage_features(
    run: _Run,
    stage: Stage,
    settings: StageSettings,
    sources: Mapping[str, ImageSource],
    held_out: ImageSource | None,
    saved: Mapping[str, Any] | None,
) -> tuple[dict[str, FrozenFeatures], str]:
    """The frozen features of the stage's cohorts and held-out normals, and the key of their files."""
    if stage.frozen is None or settings.augment:
        return {}, ""
    every = {**sources, **({VALIDATION: held_out} if held_out is not None else {})}
    key = saved["features"] if saved is not None else ""
    if not key:
        digests = [digest for source in every.values() for digest in source.digests]
        key = features_key(stage.name, run.detector, digests, run.precision)
        key = run.fabric.broadcast(key)
    run.detector.eval()

    def advance(images: int) -> None:
        run.stop_between_batches(stage.name)
        run.progress.advance(images)

    found = {}
    for name, source in every.items():
        run.progress.begin(f"{stage.name}: features of {name}", len(source))
        found[name] = frozen_features(
            stage.frozen,
            source,
            run.directory / "features" / f"{key}-{name}",
            run.fabric,
            batch_size=settings.batch_size,
            advance=advance,
        )
    return found, key


def _unless_stopped(run: _Run, stage: Stage, planned: Sequence[Any]) -> Iterator[Any]:
    for batch in planned:
        run.stop_between_batches(stage.name)
        yield batch


def _snapshot(detector: Detector, trained: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """The trained parameters and all buffers, copied."""
    wanted = {id(parameter) for parameter in trained}
    left_out = {name for name, parameter in detector.named_parameters() if id(parameter) not in wanted}
    return {
        name: tensor.detach().clone()
        for name, tensor in detector.state_dict().items()
        if name not in left_out
    }


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


def _cohort(cohorts: Mapping[str, ImageSource], name: str, stage: Stage) -> ImageSource:
    if name not in cohorts:
        raise UserError(f"stage {stage.name!r} needs the cohort {name!r}; there is {', '.join(cohorts)}")
    return cohorts[name]


def _refuse_missing_validation(stage: Stage, settings: StageSettings, held_out: ImageSource | None) -> None:
    if stage.steps and held_out is None and (settings.keep == "best" or settings.early_stop):
        raise UserError(
            f"stages.{stage.name} chooses its epoch by the loss on held-out normals, and there are none; "
            "raise cohorts.validation, or set keep: last and no early_stop"
        )


def _fingerprint(
    detector: Detector,
    cohorts: Mapping[str, ImageSource],
    stages: Mapping[str, StageSettings],
    seed: int,
    precision: Precision,
    fabric: Fabric,
) -> dict[str, str]:
    """What must be the same for a checkpoint to be this fit's."""
    found = {
        "detector": f"{detector.settings.model_dump_json()} {detector.channels} {detector.size}",
        "seed": str(seed),
        "precision": precision,
        "device": fabric.device.type,
        "processes": str(fabric.world_size),
    }
    for name, settings in stages.items():
        found[f"stages.{name}"] = settings.model_dump_json()
    for name, source in cohorts.items():
        found[f"cohort {name}"] = blake2b("\n".join(source.digests).encode(), digest_size=16).hexdigest()
    return found


def _refuse_another_fit(now: Mapping[str, str], then: Mapping[str, str], directory: Path) -> None:
    different = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
    if different:
        raise UserError(
            f"{directory}: the checkpoint there is of another fit (different: {', '.join(different)}); "
            "fit without --resume, or with the recipe and data of then"
        )


class _repeatable:
    """On a GPU, the kernels that give the same result every time, where there is a choice."""

    def __init__(self, device: torch.device) -> None:
        self.wanted = device.type == "cuda"

    def __enter__(self) -> None:
        self.before = torch.are_deterministic_algorithms_enabled()
        if self.wanted:
            torch.use_deterministic_algorithms(True, warn_only=True)

    def __exit__(self, *_: object) -> None:
        if self.wanted:
            torch.use_deterministic_algorithms(self.before)
