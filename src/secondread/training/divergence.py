"""Training that went astray: when to give up, which checkpoint is the last good one, and what to say."""

from __future__ import annotations

import json

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.training.fit_state import Run, StageProgress

NOT_FINITE_IN_A_ROW = 50
NOT_FINITE_AT_THE_END = 5
"""A stage that ends with so many steps that changed nothing has no parameters worth keeping."""


def refuse_divergence(
    run: Run, stage: Stage, settings: StageSettings, at: StageProgress, epoch: int, last: str
) -> None:
    """Raise the `UserError` that ends a fit whose steps are not finite any more.

    last  the terms of the last loss, as text

    What stays on disk is the newest checkpoint that a finite step has followed: the state just before a
    streak of steps that are not finite is what the streak comes from, so such a checkpoint is removed.
    """
    name = f"stages.{stage.section}"
    limit = f" (or the loss above {stage.diverged_above:g})" if stage.diverged_above < float("inf") else ""
    advice = [f"lower {name}.optimiser.lr (now {settings.optimiser.lr:g})"]
    if settings.clip_norm is None:
        advice.append(f"set {name}.clip_norm")
    if not settings.schedule.warmup:
        advice.append(f"set {name}.schedule.warmup")
    if run.precision != "float32":
        advice.append("set precision: float32")
    raise UserError(
        f"stage {stage.name!r}, epoch {epoch + 1}: the loss or its gradient was not finite{limit} "
        f"{at.not_finite_in_a_row} steps in a row{last}; {', or '.join(advice)}, and fit anew; "
        f"{run.fabric.broadcast(last_good_checkpoint(run))}"
    )


def last_good_checkpoint(run: Run) -> str:
    """Where the last good checkpoint lies and of when it is, in words; one that is not good is removed."""
    if not run.fabric.is_global_zero:
        return ""
    if run.unproven:
        run.checkpoints.remove_newest()
    saved = run.checkpoints.latest()
    if saved is None:
        return "no good checkpoint had been saved"
    stages = json.loads(saved["log"])["stages"]
    when = f"end of stage {stages[-1]['name']!r}"
    if not saved["done"]:
        at = json.loads(saved["progress"])
        when = f"stage {stages[-1]['name']!r}, epoch {at['epoch'] + 1}, step {at['round']}"
    return f"the last good checkpoint ({when}) is whole and stays in {run.checkpoints.directory}"
