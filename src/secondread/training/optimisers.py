"""From settings to optimisers, the learning rate at a step, the moving average, the step itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.optim import Optimizer

from secondread.detectors.contract import Step
from secondread.detectors.detector_settings import OptimiserSettings, ScheduleSettings, StageSettings


def step_parameters(step: Step) -> list[nn.Parameter]:
    """The parameters that a step trains, each once, in a fixed order."""
    found: dict[int, nn.Parameter] = {}
    for part in step.trains:
        for parameter in [part] if isinstance(part, nn.Parameter) else part.parameters():
            found.setdefault(id(parameter), parameter)
    return list(found.values())


def make_optimiser(step: Step, settings: OptimiserSettings) -> Optimizer:
    """For the step's parameters; each group's learning rate is multiplied by its "pace"."""
    lr, decay = settings.lr, settings.weight_decay
    pace = {id(p): factor for module, factor in step.paces for p in module.parameters()}
    by_pace: dict[float, list[nn.Parameter]] = {}
    for parameter in step_parameters(step):
        by_pace.setdefault(pace.get(id(parameter), 1.0), []).append(parameter)
    parameters = [{"params": group, "pace": factor} for factor, group in by_pace.items()]
    match settings.name:
        case "adam":
            return torch.optim.Adam(
                parameters, lr, settings.betas, weight_decay=decay, amsgrad=settings.amsgrad, fused=True
            )
        case "adamw":
            return torch.optim.AdamW(
                parameters, lr, settings.betas, weight_decay=decay, amsgrad=settings.amsgrad, fused=True
            )
        case "adamax":
            return torch.optim.Adamax(parameters, lr, settings.betas, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(parameters, lr, settings.momentum, weight_decay=decay, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr, momentum=settings.momentum, weight_decay=decay)


@dataclass
class StepTraining:
    """A step with what trains it. lr: the rate at the current round, before each group's pace."""

    step: Step
    parameters: list[nn.Parameter]
    optimiser: Optimizer
    settings: OptimiserSettings
    lr: float = 0.0

    @classmethod
    def of(cls, step: Step, settings: StageSettings) -> StepTraining:
        own = settings.optimisers.get(step.name, settings.optimiser)
        return cls(step, step_parameters(step), make_optimiser(step, own), own)


def learning_rate(settings: ScheduleSettings, base: float, step: int, total: int) -> float:
    """The rate at `step` of `total` (from 0): linear warm-up, then as `settings.name` says."""
    warmup = round(settings.warmup * total)
    if step < warmup:
        return base * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    match settings.name:
        case "constant":
            return base
        case "cosine":
            return base * 0.5 * (1 + math.cos(math.pi * settings.falls * done))
        case "linear":
            return base * (1 - done)
        case "polynomial":
            return base * (1 - done) ** settings.power
        case "steps":
            return base * settings.factor ** sum(done >= place for place in settings.at)


@contextmanager
def gradients_only_for(module: nn.Module, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, the given parameters require a gradient and the module's others do not."""
    wanted = {id(parameter): parameter for parameter in parameters}
    every = {**{id(parameter): parameter for parameter in module.parameters()}, **wanted}
    before = {key: parameter.requires_grad for key, parameter in every.items()}
    for key, parameter in every.items():
        parameter.requires_grad_(key in wanted)
    try:
        yield
    finally:
        for key, parameter in every.items():
            parameter.requires_grad_(before[key])


class RunningStatistics:
    """Batch-norm statistics and power-iteration vectors before a step, to be put back when the step turns out
    not finite."""

    def __init__(self, module: nn.Module) -> None:
        self.buffers = [
            buffer
            for part in module.modules()
            if part.training and isinstance(part, nn.modules.batchnorm._NormBase | _SpectralNorm)
            for buffer in part.buffers(recurse=False)
        ]
        self.copies = [buffer.clone() for buffer in self.buffers]

    def restore(self) -> None:
        for buffer, copy in zip(self.buffers, self.copies, strict=True):
            buffer.copy_(copy)


class MovingAverage:
    """The exponential moving average of parameters: `a <- decay * a + (1 - decay) * p` after each round."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.values = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self) -> None:
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter.detach(), 1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the average and the parameters."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)

    def load(self, values: Sequence[Tensor]) -> None:
        for value, saved in zip(self.values, values, strict=True):
            value.copy_(saved)
