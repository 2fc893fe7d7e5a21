"""What a fit carries from stage to stage, and where it is within one."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from secondread.detectors.contract import Detector
from secondread.scoring.device import Precision
from secondread.scoring.image_source import ImageSource
from secondread.scoring.kept_encodings import KeptEncodings
from secondread.terminal.interruption import Interrupted, StopRequest
from secondread.training.checkpoint import Checkpoints
from secondread.training.fit_display import FitProgress
from secondread.training.log import TrainingLog
from secondread.training.observer import Observer

if TYPE_CHECKING:
    from secondread.scoring.one_process import Processes

AfterRound = Callable[[str, int, int], None]
"""Called after each round and its checkpoint with (stage, epoch, round)."""

Planned = TypeVar("Planned")


class HandOver(Exception):
    """A stage has saved what it is at, for another process to go on with."""


@dataclass
class Run:
    """What stays the same from stage to stage.

    counted_at  until when the current stage's log counts its seconds
    cache       of prepared images, where features are kept for other fits; None = nowhere
    workers     processes in which batches may be drawn ahead; 0 = this one alone
    base        what a checkpoint need not hold, as whoever goes on from it has it; None = it holds everything
    hand_over   whether to end after a round for others to go on, told the share of the stage that is done
    unproven    no finite step has followed the newest checkpoint yet, so its parameters may be bad
    """

    detector: Detector
    cohorts: Mapping[str, ImageSource]
    fabric: Processes
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
    workers: int = 0
    cache: Path | None = None
    observers: Sequence[Observer] = ()
    base: Mapping[str, Tensor] | None = None
    hand_over: Callable[[float], bool] | None = None
    saved_at: float = field(default_factory=time.monotonic)
    counted_at: float = field(default_factory=time.monotonic)
    unproven: bool = False

    def count_seconds(self) -> None:
        """The stage's seconds until now into its log, so that a checkpoint holds those before it."""
        now = time.monotonic()
        self.log.stages[-1].seconds += now - self.counted_at
        self.counted_at = now

    def note_spared(self, kept: KeptEncodings | None) -> None:
        """What the current stage would have taken longer without what others had kept."""
        if kept is not None:
            self.log.stages[-1].spared_seconds += kept.spared_seconds

    def save(self, state: Mapping[str, Any]) -> None:
        if self.fabric.is_global_zero:
            self.checkpoints.save(
                {
                    "fingerprint": self.fingerprint,
                    "detector": self._state(),
                    "log": json.dumps(self.log.to_json()),
                    **state,
                }
            )
        self.saved_at = time.monotonic()
        self.unproven = not state["done"]

    def _state(self) -> dict[str, Tensor]:
        state = self.detector.state_dict()
        if self.base is None:
            return state
        base = self.base
        return {name: value for name, value in state.items() if not _same(value, base.get(name))}

    def stop_between_batches(self, stage: str) -> None:
        """Ctrl-C while there is nothing to save: the last checkpoint stands. Several processes stop
        together, at a round."""
        if self.stop.requested and self.fabric.world_size == 1:
            raise Interrupted(f"interrupted in stage {stage!r}; the same command goes on from the checkpoint")

    def unless_stopped(self, stage: str, planned: Sequence[Planned]) -> Iterator[Planned]:
        for batch in planned:
            self.stop_between_batches(stage)
            yield batch


def _same(one: Tensor, other: Tensor | None) -> bool:
    """Whether two tensors hold the same bytes."""
    if other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    first, second = (each.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for each in (one, other))
    return torch.equal(first, second)


@dataclass
class StageProgress:
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
    best_value: float = -math.inf
    best_epoch: int | None = None
    loss_at_gain: float = math.inf
    epochs_without_gain: int = 0
    stopped: bool = False

    def start_epoch(self, epoch: int) -> None:
        self.epoch, self.round, self.skipped, self.images, self.seconds = epoch, 0, 0, 0, 0.0
        self.sums, self.taken = {}, {}
