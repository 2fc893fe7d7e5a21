"""One gradient step, on one process or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from secondread.detectors.contract import Batches, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.training.divergence import NOT_FINITE_IN_A_ROW, refuse_divergence
from secondread.training.fit_state import Run, StageProgress
from secondread.training.optimisers import RunningStatistics, StepTraining, gradients_only_for
from secondread.training.seeds import seed_layers, seeded_generator

if TYPE_CHECKING:
    from secondread.scoring.one_process import Processes


@dataclass(frozen=True)
class Where:
    """Where in a stage a step is taken: everything random in it is drawn from here."""

    stage: Stage
    settings: StageSettings
    at: StageProgress
    index: int
    repeat: int

    def key(self, rank: int) -> tuple[int | str, ...]:
        return (self.stage.name, self.at.epoch, self.at.round, self.index, self.repeat, rank)


def take_step(run: Run, training: StepTraining, batches: Batches, images: int, where: Where) -> bool:
    """One gradient step, on this process's part of a batch of `images` images. Returns whether any process
    was asked to stop."""
    fabric, step, parameters, at = run.fabric, training.step, training.parameters, where.at
    key = where.key(fabric.global_rank)
    seed_layers(fabric.device, run.seed, *key, "layers")
    statistics = RunningStatistics(run.detector)
    with gradients_only_for(run.detector, parameters):
        with fabric.autocast():
            terms = dict(step.loss(batches, seeded_generator(run.seed, *key)))
        values = {name: value.float() for name, value in terms.items()}
        total = torch.stack(list(values.values())).sum()
        here = sum(len(batch) for batch in batches.values())
        share = here * fabric.world_size / images
        fabric.backward(total * share)
    logged = torch.stack([*values.values(), total.new_tensor(float(run.stop.requested))]).detach()
    if fabric.world_size > 1:
        logged[:-1] *= share
        logged = cast(Tensor, fabric.all_reduce(logged, reduce_op="mean"))
        _average_gradients(fabric, parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients) if gradients else total.detach()
    *numbers, length, stopping = [*logged[:-1].tolist(), float(norm), float(logged[-1])]
    finite = math.isfinite(length) and all(math.isfinite(number) for number in numbers)
    if finite and sum(numbers) <= where.stage.diverged_above:
        clip = where.settings.clip_norm
        if clip is not None and length > clip:
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        for group in training.optimiser.param_groups:
            group["lr"] = training.lr * group["pace"]
        training.optimiser.step()
        # Fused optimisers leave the versions as they are, by which a folded convolution knows that it is old.
        torch.autograd.graph.increment_version(parameters)
        if step.after is not None:
            with torch.no_grad():
                step.after()
        at.not_finite_in_a_row = 0
        run.unproven = False
        for name, number in zip(values, numbers, strict=True):
            shown = f"{step.name}.{name}" if len(where.stage.steps) > 1 else name
            at.sums[shown] = at.sums.get(shown, 0.0) + number
            at.taken[shown] = at.taken.get(shown, 0) + 1
    else:
        statistics.restore()
        at.skipped += 1
        at.not_finite_in_a_row += 1
        if at.not_finite_in_a_row >= NOT_FINITE_IN_A_ROW:
            shown = ", ".join(f"{name} {number:.4g}" for name, number in zip(values, numbers, strict=True))
            refuse_divergence(run, where.stage, where.settings, at, at.epoch, f" ({shown})")
    training.optimiser.zero_grad(set_to_none=True)
    return stopping > 0


def _average_gradients(fabric: Processes, parameters: Sequence[nn.Parameter]) -> None:
    """The mean over processes, in one message. Losses call parts of the detector and not its `forward`,
    which is where DistributedDataParallel would hook in."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    mine = torch.cat([gradient.float().flatten() for gradient in gradients])
    flat = cast(Tensor, fabric.all_reduce(mine, reduce_op="mean"))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))
