"""Data-dependent initialisation: every actnorm starts with zero mean and unit variance behind it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from secondread.flows.glow.choice import network_of
from secondread.flows.glow.coupling_net import LOG_SCALE_FACTOR, CouplingNet
from secondread.flows.glow.mixing import affine_maps
from secondread.flows.glow.planes import neighbourhoods
from secondread.flows.glow.step import Step, StepWeights, step_forward

FLOOR = 1e-3
"""The smallest deviation that an actnorm divides by: about that of 8-bit dequantisation noise."""
POSITIONS = 2**14
"""Positions whose hidden values are held at once."""


def initialise_step(step: Step, x: Tensor) -> Tensor:
    """Fit the step's actnorms to x `[C, N, *S]` and return the step's output."""
    flat = x.flatten(1)
    mean, deviation = flat.mean(dim=1), flat.std(dim=1, correction=0)
    step.mixing.bias.copy_(-mean)
    step.mixing.log_scale.copy_(-deviation.clamp_min(FLOOR).log())
    (matrix,), (offset,), _ = affine_maps([step.mixing])
    mixed = torch.addmm(offset[:, None], matrix, flat).view(x.shape)
    _initialise_net(step.net, mixed[: step.first])
    network = network_of(step.net.values(), x.dtype)
    out, _, _ = step_forward(x, StepWeights(matrix, offset, network), step.scale)
    return out


def _initialise_net(net: CouplingNet, x: Tensor) -> None:
    gathered = neighbourhoods(x, border=net.border)
    weight = net.first_weight.flatten(1)

    def before_first(block: Tensor) -> Tensor:
        return weight @ block

    _normalise(net.first_bias, net.first_log_scale, before_first, gathered)
    gain = torch.exp(LOG_SCALE_FACTOR * net.first_log_scale)

    def before_middle(block: Tensor) -> Tensor:
        hidden = ((before_first(block) + net.first_bias[:, None]) * gain[:, None]).relu_()
        return net.middle_weight @ hidden

    _normalise(net.middle_bias, net.middle_log_scale, before_middle, gathered)


def _normalise(bias: Tensor, log_scale: Tensor, make: Callable[[Tensor], Tensor], gathered: Tensor) -> None:
    """Zero mean and unit variance of (y + bias) * exp(3 log_scale) over all positions, y = make(block)."""
    total = torch.zeros(len(bias), dtype=torch.float64, device=bias.device)
    squares = torch.zeros_like(total)
    for block in gathered.split(POSITIONS, dim=1):
        values = make(block).double()
        total += values.sum(dim=1)
        squares += values.square().sum(dim=1)
    mean = total / gathered.shape[1]
    deviation = (squares / gathered.shape[1] - mean.square()).clamp_min(0.0).sqrt()
    bias.copy_(-mean)
    log_scale.copy_(-deviation.clamp_min(FLOOR).log() / LOG_SCALE_FACTOR)
