"""One level of a Glow: its steps, with and without gradient, and the prior of what leaves behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from secondread.flows.glow.choice import network_of
from secondread.flows.glow.mixing import affine_maps
from secondread.flows.glow.scales import Scale
from secondread.flows.glow.step import (
    InvertedFunction,
    Memory,
    Step,
    StepFunction,
    StepWeights,
    inverse_of,
    step_forward,
    step_inverse,
)
from secondread.flows.latent import Latent


@dataclass
class Prepared:
    """A level's weights without gradient, and its constant log-determinant per position."""

    steps: list[StepWeights]
    constant: Tensor


class Level(nn.Module):
    """Steps of one size in a row, and the distribution of the latent variables that leave after them."""

    def __init__(self, steps: Sequence[Step], prior: Latent, scale: Scale) -> None:
        super().__init__()
        self._steps = nn.ModuleList(steps)
        self.prior = prior
        self.scale = scale

    @property
    def steps(self) -> list[Step]:
        return cast(list[Step], list(self._steps))

    def learn(
        self, state: Tensor, dtype: torch.dtype, memory: Memory, anchors: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """With gradient: the state, log s per image `[N]`, and the constant per position, float64."""
        steps = self.steps
        matrices, offsets, constant = affine_maps([step.mixing for step in steps])
        affine = list(zip(matrices, offsets, strict=True))
        log = state.new_zeros(state.shape[1])
        if memory == "invert":
            for first, last in pairwise([*range(0, len(steps), anchors), len(steps)]):
                values = [
                    value
                    for step, (matrix, offset) in zip(steps[first:last], affine[first:last], strict=True)
                    for value in (matrix, offset, *step.net.values())
                ]
                state, terms = InvertedFunction.apply(state, self.scale, dtype, last - first, *values)
                log = log + terms
            return state, log, constant
        for step, (matrix, offset) in zip(steps, affine, strict=True):
            state, terms = StepFunction.apply(
                state, matrix, offset, self.scale, dtype, memory == "store", *step.net.values()
            )
            log = log + terms
        return state, log, constant

    def prepare(self, dtype: torch.dtype) -> Prepared:
        """The weights made ready for `run` and `run_back`."""
        steps = self.steps
        matrices, offsets, constant = affine_maps([step.mixing for step in steps])
        weights = [
            StepWeights(matrix.detach(), offset.detach(), network_of(step.net.values(), dtype))
            for step, matrix, offset in zip(steps, matrices, offsets, strict=True)
        ]
        return Prepared(weights, constant)

    def run(self, state: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Without gradient: the state, and log s summed over channels per position `[N, *S]`."""
        total = state.new_zeros(state.shape[1:])
        for weights in prepared.steps:
            state, _, log_factor = step_forward(state, weights, self.scale)
            total += log_factor.sum(dim=0)
        return state, total

    def run_back(self, state: Tensor, prepared: Prepared) -> Tensor:
        """The state that `run` takes to this one."""
        for weights in reversed(prepared.steps):
            if weights.inverse is None:
                weights.inverse = inverse_of(weights.matrix)
            state = step_inverse(state, weights, self.scale)
        return state
