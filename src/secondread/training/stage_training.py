"""The rounds of one stage: epoch by epoch, with checkpoints, a moving average, and the choice of an epoch.

A round takes as many batches as the stage's most repeated step (`Step.repeats`) and runs each step in turn, a
step with r repeats on the round's last r batches. Where an epoch's batches do not fill its last round, the
round goes on into the next deck, shuffled anew, so that no step is taken less often than it says.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import torch
from torch import nn

from secondread.detectors.contract import Batches, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.terminal.interruption import Interrupted
from secondread.training.batches.coming import validated
from secondread.training.batches.stage_batches import stage_batches
from secondread.training.batches.stage_data import StageData
from secondread.training.choosing.held_out import held_out_loss
from secondread.training.choosing.keeping import Keeping
from secondread.training.choosing.kept_epochs import keep_epoch
from secondread.training.choosing.label_free import Measure
from secondread.training.divergence import NOT_FINITE_AT_THE_END, refuse_divergence
from secondread.training.fit_state import HandOver, Run, StageProgress
from secondread.training.gradient_step import Where, take_step
from secondread.training.log import EpochLog, StageLog, log_epoch
from secondread.training.modes import training_modes
from secondread.training.optimisers import MovingAverage, StepTraining, learning_rate
from secondread.training.planning.batch_plan import BatchIndices
from secondread.training.planning.stage_length import Length

SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 10.0


class StageTraining:
    """One stage's rounds, from the start or from a checkpoint."""

    def __init__(
        self,
        run: Run,
        number: int,
        stage: Stage,
        settings: StageSettings,
        data: StageData,
        saved: Mapping[str, Any] | None,
    ) -> None:
        self.run, self.number, self.stage, self.settings, self.data = run, number, stage, settings, data
        self.steps = [StepTraining.of(step, settings) for step in stage.steps]
        trained: dict[int, nn.Parameter] = {id(p): p for step in self.steps for p in step.parameters}
        parameters = list(trained.values())
        self.average = MovingAverage(parameters, settings.moving_average) if settings.moving_average else None
        best = None if saved is None else saved["best"]
        self.keeping = Keeping(settings.keep, run.detector, parameters, best)
        self.measure = Measure.of(run, stage, settings)
        self.length = Length.of(stage, settings, data.plan.batches_per_epoch)
        self.at = StageProgress()
        if saved is not None:
            self._go_on_from(saved)

    def _go_on_from(self, saved: Mapping[str, Any]) -> None:
        self.at = StageProgress(**json.loads(saved["progress"]))
        self.run.unproven = True
        for step, state in zip(self.steps, saved["optimisers"], strict=True):
            step.optimiser.load_state_dict(state)
        if self.average is not None:
            self.average.load(saved["average"])

    def save(self) -> None:
        self.run.count_seconds()
        self.run.save(
            {
                "stage": self.number,
                "done": False,
                "features": self.data.features_key,
                "progress": json.dumps(vars(self.at)),
                "optimisers": [step.optimiser.state_dict() for step in self.steps],
                "average": None if self.average is None else self.average.values,
                "best": self.keeping.best,
            }
        )

    def train(self, stage_log: StageLog) -> None:
        """All rounds that are left; then the chosen parameters stand in the detector."""
        at, length = self.at, self.length
        if self.run.progress.left is not None:
            done = at.epoch * length.rounds_per_epoch + at.round
            self.run.progress.left.begin(self.number, done / length.rounds)
        with closing(stage_batches(self.run, self.stage, self.settings, self.data, length, at)) as coming:
            while at.epoch < length.epochs and not at.stopped:
                self._rounds(coming)
                self._end_epoch(stage_log, coming)
        if self.run.progress.left is not None:
            self.run.progress.left.end()
        if self.keeping.best is None and at.not_finite_in_a_row >= min(NOT_FINITE_AT_THE_END, length.rounds):
            refuse_divergence(self.run, self.stage, self.settings, at, at.epoch - 1, ", to the stage's end")
        stage_log.chosen_epoch, stage_log.rule = self.keeping.settle(at, self.average)
        if at.stopped:
            stage_log.rule += f"; stopped early after {at.epoch} of {length.epochs} epochs"

    def _rounds(self, coming: Iterator[Batches]) -> None:
        """The rounds of an epoch that are left."""
        run, at, taken = self.run, self.at, self.length.batches_per_round
        rounds = self.length.rounds_of(at.epoch)
        order = self.data.plan.epoch(at.epoch, at_least=rounds * taken)[at.round * taken : rounds * taken]
        planned = iter(order)
        run.progress.begin(f"{self.stage.name} {at.epoch + 1}/{self.length.epochs}", rounds, at.round)
        training_modes(run.detector, self.stage)
        while at.round < rounds:
            self._round([next(planned) for _ in range(taken)], coming)

    def _round(self, planned: list[BatchIndices], coming: Iterator[Batches]) -> None:
        """Each step in turn, on the batches of one round."""
        run, at = self.run, self.at
        began = time.monotonic()
        done = at.epoch * self.length.rounds_per_epoch + at.round
        for step in self.steps:
            step.lr = learning_rate(self.settings.schedule, step.settings.lr, done, self.length.rounds)
        at.lr = self.steps[0].lr
        together = [next(coming) for _ in planned]
        before = (dict(at.sums), dict(at.taken)) if run.observers else None
        stopping = False
        for index, step in enumerate(self.steps):
            chosen = list(zip(together, planned, strict=True))[-step.step.repeats :]
            for repeat, (batches, indices) in enumerate(chosen):
                where = Where(self.stage, self.settings, at, index, repeat)
                images = sum(len(rows) for rows in indices.values())
                stopping = take_step(run, step, batches, images, where) or stopping
        if self.average is not None:
            self.average.update()
        at.round += 1
        run.progress.share((done + 1) / self.length.rounds)
        at.images += sum(len(rows) for batch in planned for rows in batch.values())
        at.seconds += time.monotonic() - began
        run.progress.advance()
        if before is not None:
            self._tell_step(*before, done + 1)
        if stopping:
            self.save()
            raise Interrupted(
                f"interrupted in stage {self.stage.name!r}, epoch {at.epoch + 1}, step {at.round}; "
                "everything so far is saved: the same command goes on from here"
            )
        self._save_when_due(run.checkpoint_seconds)
        if run.after_round is not None:
            run.after_round(self.stage.name, at.epoch, at.round)
        share = (done + 1) / self.length.rounds
        if run.hand_over is not None and not at.not_finite_in_a_row and run.hand_over(share):
            self.save()
            if run.progress.left is not None:
                run.progress.left.end(share)
            raise HandOver

    def _tell_step(self, sums: Mapping[str, float], taken: Mapping[str, int], step: int) -> None:
        """Tell observers what this round added, each loss as the mean over its steps."""
        at = self.at
        added = {name: count - taken.get(name, 0) for name, count in at.taken.items()}
        losses = {
            name: (at.sums[name] - sums.get(name, 0.0)) / count for name, count in added.items() if count
        }
        for observer in self.run.observers:
            observer.stepped(self.stage.name, step, losses, at.lr)

    def _save_when_due(self, seconds: float) -> None:
        if not self.at.not_finite_in_a_row and time.monotonic() - self.run.saved_at >= seconds:
            self.save()

    def _end_epoch(self, stage_log: StageLog, coming: Iterator[Batches]) -> None:
        """What follows an epoch's rounds: the stage's hook, measurements, the log, a checkpoint."""
        run, at, settings = self.run, self.at, self.settings
        run.detector.eval()
        if self.stage.each_epoch is not None:
            planned = run.unless_stopped(self.stage.name, self.data.plan.in_order())
            with torch.no_grad(), run.fabric.autocast():
                self.stage.each_epoch(at.epoch, self.data.loader.batches(planned))
        if self.average is not None:
            self.average.swap()
        loss = None
        if validated(self.stage, self.data):
            loss = held_out_loss(run, self.stage, settings, self.data, coming)
            _note_gain(at, loss, settings)
        last = at.stopped or at.epoch + 1 >= self.length.epochs
        measured = self.measure() if self.measure.due(at.epoch, last=last) else {}
        self.keeping.consider(at, loss, measured)
        often = settings.keep_every
        if often and (last or (at.epoch + 1) % often == 0) and run.fabric.is_global_zero:
            keep_epoch(run.directory, self.stage.name, at.epoch, self.keeping.snapshot())
        if self.average is not None:
            self.average.swap()
        means = {name: at.sums[name] / at.taken[name] for name in at.sums}
        shown_loss = loss if loss is not None and math.isfinite(loss) else None
        epoch_log = EpochLog(at.epoch, means, shown_loss, at.lr, at.skipped, at.images, at.seconds, measured)
        stage_log.epochs.append(epoch_log)
        run.progress.epoch(self.stage.name, epoch_log, self.length.epochs)
        log_epoch(self.stage.name, epoch_log, self.length.epochs)
        for observer in run.observers:
            observer.epoch_ended(self.stage.name, epoch_log, self.length.epochs, run.log)
        at.start_epoch(at.epoch + 1)
        self._save_when_due(min(run.checkpoint_seconds, SECONDS_BETWEEN_EPOCH_CHECKPOINTS))


def _note_gain(at: StageProgress, loss: float, settings: StageSettings) -> None:
    """Whether the loss on held-out normals still falls, and if not for long enough, that training stops."""
    stop = settings.early_stop
    if loss < at.loss_at_gain - (stop.min_delta if stop else 0.0):
        at.loss_at_gain, at.epochs_without_gain = loss, 0
    else:
        at.epochs_without_gain += 1
    at.stopped = stop is not None and at.epochs_without_gain >= stop.patience
