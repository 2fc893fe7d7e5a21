"""One stage of a detector whose stages are trained apart, in this process or in another.

A piece begins from what the detector was at the fit's start and what the stages that it follows made of it,
and from nothing else: so its numbers do not depend on what was trained before or beside it, nor where. It has
checkpoints of its own, in `stages/NAME`, which hold only what differs from its beginning. The last of them is
its result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.scoring.device import place
from secondread.training.checkpoint import Checkpoints
from secondread.training.fit_state import Run
from secondread.training.log import StageLog, TrainingLog
from secondread.training.one_stage import run_stage
from secondread.training.seeds import seed_layers

FOLDER = "stages"
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Piece:
    """number   the stage's, among all
    base     the state of the detector where the piece begins
    threads  of torch"""

    number: int
    stage: Stage
    settings: StageSettings
    base: State
    threads: int


def checkpoints_of(directory: Path, stage: str) -> Checkpoints:
    return Checkpoints(directory / FOLDER / stage)


def result_of(directory: Path, stage: str) -> dict[str, Any] | None:
    """The checkpoint of a piece that is done; None while it is not."""
    saved = checkpoints_of(directory, stage).latest()
    return saved if saved is not None and saved["done"] else None


def log_in(saved: Mapping[str, Any], stage: str) -> StageLog:
    """What a piece's checkpoint says of its stage."""
    logged = TrainingLog.from_json(json.loads(saved["log"]))
    return next(entry for entry in logged.stages if entry.name == stage)


def run_piece(run: Run, piece: Piece) -> None:
    """The stage, from its newest checkpoint or from its start. The detector of `run` holds it afterwards, and
    the log its entry, as the last one."""
    stage = piece.stage
    checkpoints = checkpoints_of(run.directory, stage.name)
    checkpoints.tidy(everything=False)
    saved = checkpoints.latest()
    run.detector.load_fitted({**piece.base, **({} if saved is None else saved["detector"])})
    place(run.detector, run.fabric.device)
    run.log.stages[:] = [entry for entry in run.log.stages if entry.name != stage.name]
    if saved is not None:
        run.log.stages.append(log_in(saved, stage.name))
    if saved is not None and saved["done"]:
        return
    own = replace(run, checkpoints=checkpoints, base=piece.base, saved_at=time.monotonic(), unproven=False)
    seed_layers(run.fabric.device, run.seed, "stages", stage.name)
    with threads(piece.threads):
        run_stage(own, piece.number, stage, piece.settings, saved)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch works in so many threads inside."""
    before = torch.get_num_threads()
    if before != count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if before != count:
            torch.set_num_threads(before)
