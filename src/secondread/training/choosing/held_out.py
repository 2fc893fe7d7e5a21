"""The loss on held-out normals, which chooses the epoch. It sees no label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch

from secondread.detectors.contract import Batch, Loss, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.training.batches.batch_plan import BatchPlan
from secondread.training.batches.stage_data import VALIDATION, StageData
from secondread.training.fit_state import Run
from secondread.training.seeds import derive_seed, seeded_generator


@torch.no_grad()
def held_out_loss(
    run: Run,
    stage: Stage,
    settings: StageSettings,
    data: StageData,
) -> float:
    """The mean of the stage's loss (`Stage.validate`, which is not None) over held-out normals, with the same
    draws in every epoch."""
    fabric = run.fabric
    size = 0 if data.held_out is None else len(data.held_out)
    plan = BatchPlan({VALIDATION: size}, {VALIDATION: 1.0}, settings.batch_size, run.seed, stage.name)
    mine = list(enumerate(plan.in_order()))[fabric.global_rank :: fabric.world_size]
    validate = stage.validate
    losses: Sequence[Loss] = (
        [step.loss for step in stage.steps] if validate == "steps" else [cast(Loss, validate)]
    )
    total = torch.zeros(2, dtype=torch.float64)
    for (number, _), batches in zip(mine, data.loader.batches(indices for _, indices in mine), strict=True):
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
