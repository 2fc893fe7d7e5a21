"""The witness of a fit: what its stages say that they change, and what changed while they ran."""

from dataclasses import dataclass

import numpy as np
import torch
from tiny_fits import Cohorts, build, find, scores_of

from secondread.calibration.raw_scores import RawScores
from secondread.detectors.contract import Detector, Stage
from secondread.training.log import TrainingLog
from secondread.training.loop import train
from secondread.training.optimisers import step_parameters


@dataclass
class Observed:
    """What was seen of a fit whose epochs are measured without a label: the names of the parameters that its
    steps declare and of those that changed; of the tensors that changed from round to round of a stage and of
    those that may; its log; and the scores of new images."""

    declared: set[str]
    trained: set[str]
    changed_in: dict[str, set[str]]
    may_change: dict[str, set[str]]
    log: TrainingLog
    scores: RawScores


def observe(name: str, rank: int, cohorts: Cohorts) -> Observed:
    detector = build(name, rank)
    stages = {stage.name: stage for stage in detector.stages()}
    names = {id(parameter): key for key, parameter in detector.named_parameters()}
    steps = [step for stage in stages.values() for step in stage.steps]
    start = tensors(detector)
    last = ("", start)
    changed_in: dict[str, set[str]] = {stage: set() for stage in stages}

    def note(stage: str, epoch: int, number: int) -> None:
        nonlocal last
        now = tensors(detector)
        if stage == last[0]:
            changed_in[stage] |= changes(last[1], now)
        last = (stage, now)

    watching = {
        stage: settings.model_copy(update={"watch": ("synthetic", "unlabelled")})
        for stage, settings in find(name).tiny(rank).stages.items()
    }
    log = train(
        detector, cohorts, watching, seed=7, device="cpu", progress=False, precision="float32",
        after_round=note,
    )  # fmt: skip
    return Observed(
        declared={names[id(parameter)] for step in steps for parameter in step_parameters(step)},
        trained=changes(start, tensors(detector)) & set(names.values()),
        changed_in=changed_in,
        may_change={stage: may_change(detector, stages[stage]) for stage in stages},
        log=log,
        scores=scores_of(detector, cohorts["new"]),
    )


def may_change(detector: Detector, stage: Stage) -> set[str]:
    """The names of what the steps and hooks of a stage may change: the parameters that its steps train, the
    buffers of the modules that hold them, and what the stage says that it keeps."""
    trained = {id(parameter) for step in stage.steps for parameter in step_parameters(step)}
    parts = [part for step in stage.steps for part in step.trains if not isinstance(part, torch.nn.Parameter)]
    parts += stage.drifts
    inside = {id(module) for part in parts for module in part.modules()}
    allowed = {name for name, parameter in detector.named_parameters() if id(parameter) in trained}
    for name, module in detector.named_modules():
        if id(module) in inside:
            allowed |= {f"{name}.{buffer}" for buffer, _ in module.named_buffers(recurse=False)}
    kept = tuple(stage.keeps)
    return allowed | {
        name
        for name, _ in detector.named_buffers()
        if name in kept or name.startswith(tuple(f"{k}." for k in kept))
    }


def tensors(detector: Detector) -> dict[str, torch.Tensor]:
    named = [*detector.named_parameters(), *detector.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def changes(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The names of the tensors that are not the same, nan being the same as nan."""
    return {
        key for key in after if not np.array_equal(before[key].numpy(), after[key].numpy(), equal_nan=True)
    }
