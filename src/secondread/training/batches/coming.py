"""Which batches a stage is going to take, in order, to its end: those of its rounds, and after each epoch's
those of held-out normals. So what is read and drawn ahead goes on across epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.training.batches.stage_data import VALIDATION, StageData
from secondread.training.fit_state import Run, StageProgress
from secondread.training.planning.batch_plan import BatchIndices, BatchPlan, shard
from secondread.training.planning.stage_length import Length


@dataclass(frozen=True)
class Planned:
    """This process's part of a batch to come.

    epoch  whose random changes the images get; None = none, as held-out normals
    where  what is random about it beside that is drawn from the fit's seed and this
    """

    indices: BatchIndices
    epoch: int | None
    where: tuple[int | str, ...]


def batches_to_come(
    run: Run, stage: Stage, settings: StageSettings, data: StageData, length: Length, at: StageProgress
) -> Iterator[Planned]:
    """From where the stage is to its end, as if it does not stop early."""
    rank, processes = run.fabric.global_rank, run.fabric.world_size
    begun, done = at.epoch, at.round
    for epoch in range(begun, length.epochs):
        first = (done if epoch == begun else 0) * length.batches_per_round
        last = length.rounds_of(epoch) * length.batches_per_round
        mine = [shard(batch, rank, processes) for batch in data.plan.epoch(epoch, at_least=last)[first:last]]
        for number, batch in enumerate(mine, start=first):
            yield Planned(batch, epoch, (stage.name, epoch, number, rank))
        if validated(stage, data):
            for number, held_out in held_out_batches(run, stage, settings, data):
                yield Planned(held_out, None, (stage.name, VALIDATION, number))


def validated(stage: Stage, data: StageData) -> bool:
    """Whether the loss on held-out normals is taken after each epoch."""
    return data.held_out is not None and stage.validate is not None


def held_out_batches(
    run: Run, stage: Stage, settings: StageSettings, data: StageData
) -> Sequence[tuple[int, BatchIndices]]:
    """This process's batches of held-out normals, each with its number among those of all."""
    size = 0 if data.held_out is None else len(data.held_out)
    plan = BatchPlan({VALIDATION: size}, {VALIDATION: 1.0}, settings.batch_size, run.seed, stage.name)
    return list(enumerate(plan.in_order()))[run.fabric.global_rank :: run.fabric.world_size]
