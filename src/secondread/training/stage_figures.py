"""What a stage says of itself before it is trained and when it is done, into the log and to whoever fits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from secondread.detectors.contract import Batch, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.training.batches.loading import Loader
from secondread.training.batches.stage_data import VALIDATION, StageData
from secondread.training.choosing.label_free import in_batches
from secondread.training.fit_state import Run
from secondread.training.seeds import seeded_generator


@torch.no_grad()
def note_start(run: Run, stage: Stage, data: StageData) -> None:
    """The figures of `Stage.start`, of the first batch of the first epoch."""
    if stage.start is None:
        return
    run.detector.eval()
    (batches,) = data.loader.batches(data.plan.epoch(0)[:1])
    with run.fabric.autocast():
        _note(run, stage, stage.start(batches))


@torch.no_grad()
def note_examination(run: Run, stage: Stage, settings: StageSettings) -> None:
    """The figures of `Stage.examine`, of all held-out normals; every process finds the same."""
    source = run.cohorts.get(VALIDATION)
    if stage.examine is None or source is None or not len(source):
        return
    run.detector.eval()
    planned = in_batches(np.arange(len(source)), settings.batch_size)
    loader = Loader({VALIDATION: source}, run.fabric.device)

    def held_out() -> Iterator[Batch]:
        for batches in loader.batches({VALIDATION: rows} for rows in planned):
            yield batches[VALIDATION]

    with run.fabric.autocast():
        figures = stage.examine(held_out(), seeded_generator(run.seed, stage.name, "examine"))
    _note(run, stage, figures)


def _note(run: Run, stage: Stage, figures: Mapping[str, float]) -> None:
    finite = {name: float(value) if math.isfinite(value) else None for name, value in figures.items()}
    run.log.stages[-1].figures.update(finite)
    run.progress.figures(stage.name, figures)
