"""One gradient step, on one process or several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from secondread.detectors.contract import Batches, Stage, Step
from secondread.detectors.settings import StageSettings
from secondread.training.divergence import NOT_FINITE_IN_A_ROW, refuse_divergence
from secondread.training.optimise import RunningStatistics, gradients_only_for
from secondread.training.run import Run, StageProgress
from secondread.training.seeds import derive_seed, seeded_generator


def take_step(
    run: Run,
    stage: Stage,
    step: Step,
    parameters: Sequence[nn.Parameter],
    optimiser: Optimizer,
    batches: Batches,
    planned: Mapping[str, Any],
    at: StageProgress,
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
        logged = cast(Tensor, fabric.all_reduce(logged, reduce_op="mean"))
        _average_gradients(fabric, parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients) if gradients else total.detach()
    *numbers, length, stopping = [*logged[:-1].tolist(), float(norm), float(logged[-1])]
    finite = math.isfinite(length) and all(math.isfinite(number) for number in numbers)
    if finite and sum(numbers) <= stage.diverged_above:
        if settings.clip_norm is not None and length > settings.clip_norm:
            nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, norm)
        for group in optimiser.param_groups:
            group["lr"] = at.lr * group["pace"]
        optimiser.step()
        at.not_finite_in_a_row = 0
        run.unproven = False
        for name, number in zip(values, numbers, strict=True):
            shown = f"{step.name}.{name}" if len(stage.steps) > 1 else name
            at.sums[shown] = at.sums.get(shown, 0.0) + number
            at.taken[shown] = at.taken.get(shown, 0) + 1
    else:
        statistics.restore()
        at.skipped += 1
        at.not_finite_in_a_row += 1
        if at.not_finite_in_a_row >= NOT_FINITE_IN_A_ROW:
            shown = ", ".join(f"{name} {number:.4g}" for name, number in zip(values, numbers, strict=True))
            refuse_divergence(run, stage, settings, at, at.epoch, f" ({shown})")
    optimiser.zero_grad(set_to_none=True)
    return stopping > 0


def _average_gradients(fabric: Fabric, parameters: Sequence[nn.Parameter]) -> None:
    """The mean over processes, in one message. Losses call parts of the detector and not its `forward`,
    which is where DistributedDataParallel would hook in."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    mine = torch.cat([gradient.float().flatten() for gradient in gradients])
    flat = cast(Tensor, fabric.all_reduce(mine, reduce_op="mean"))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))
