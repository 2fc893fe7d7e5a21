"""The loss on held-out normals, which chooses the epoch. It sees no label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch

from secondread.detectors.contract import Batches, Loss, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.training.batches.coming import held_out_batches
from secondread.training.batches.stage_data import VALIDATION, StageData
from secondread.training.fit_state import Run
from secondread.training.seeds import seed_layers, seeded_generator


@torch.no_grad()
def held_out_loss(
    run: Run,
    stage: Stage,
    settings: StageSettings,
    data: StageData,
    coming: Iterator[Batches],
) -> float:
    """The mean of the stage's loss (`Stage.validate`, which is not None) over held-out normals, with the same
    draws in every epoch. `coming`: whose next batches are theirs."""
    fabric = run.fabric
    validate = stage.validate
    losses: Sequence[Loss] = (
        [step.loss for step in stage.steps] if validate == "steps" else [cast(Loss, validate)]
    )
    total = torch.zeros(2, dtype=torch.float64)
    for number, _ in held_out_batches(run, stage, settings, data):
        batches = next(coming)
        batch = batches[VALIDATION]
        everyone = {**dict.fromkeys(stage.on, batch), **batches}
        for index, loss in enumerate(losses):
            seed_layers(fabric.device, run.seed, stage.name, VALIDATION, number, index, "layers")
            generator = seeded_generator(run.seed, stage.name, VALIDATION, number, index)
            with fabric.autocast():
                terms = loss(everyone, generator)
            total[0] += len(batch) * sum(float(value) for value in terms.values())
        total[1] += len(batch)
    summed = fabric.all_reduce(total.to(fabric.device), reduce_op="sum")
    loss_value = float(summed[0] / summed[1])
    return loss_value if math.isfinite(loss_value) else math.inf
