"""A share of a student's positions that its loss leaves out, which grows as training goes on."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.networks.distillation.cosine import (
    cosine_distance_map,
    deviating,
    hardest,
    scale_gradient,
)
from secondread.settings.base import Count, Settings


class HardMiningSettings(Settings):
    """The rule's value goes in a straight line from `start` to `end` over the first `steps`, and stays."""

    rule: Literal["deviation", "share"] = Field(
        "deviation",
        description="which positions are hard: those at or above the mean + value · standard deviation of "
        "the batch's distances, or the highest 1 - value of them",
    )
    start: float = Field(-3.0, ge=-100, le=100)
    end: float = Field(1.0, ge=-100, le=100)
    steps: Count = 100
    factor: float = Field(0.0, ge=0, le=1, description="by which the gradient of the others is multiplied")


class HardMining(nn.Module):
    """Multiplies the gradient of positions that a student restores well already (Guo et al., ReContrast,
    NeurIPS 2023; Dinomaly, CVPR 2025). The steps taken are a buffer, so that a resumed fit goes on."""

    def __init__(self, settings: HardMiningSettings) -> None:
        super().__init__()
        self.settings = settings
        self.taken: Tensor
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def step(self) -> None:
        """After each training step."""
        self.taken += 1

    @property
    def value(self) -> float:
        done = min(1.0, int(self.taken) / self.settings.steps)
        return self.settings.start + (self.settings.end - self.settings.start) * done

    def forward(self, target: Tensor, student: Tensor, valid: Tensor | None = None) -> Tensor:
        """The student's map `[N, C, *S]` as it is, its gradient scaled by position."""
        with torch.no_grad():
            distances = cosine_distance_map(target, student)
            if self.settings.rule == "deviation":
                hard = deviating(distances, self.value, valid)
            else:
                hard = hardest(distances, 1 - self.value, valid)
            factor = torch.where(hard, 1.0, self.settings.factor)
        return scale_gradient(student, factor)
