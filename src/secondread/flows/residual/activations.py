"""Activations of Lipschitz constant 1 with two derivatives, as a residual flow's gradient takes them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Activation = Literal["lipswish", "elu"]
BOUND = 1.1
"""The greatest slope of x sigmoid(b x), rounded up: LipSwish is divided by it."""


def activate(kind: Activation, x: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
    """phi(x) and phi'(x).

        lipswish   x sigmoid(b x) / 1.1, b > 0 (Chen et al., 2019)
        elu        x where it is positive, exp(x) - 1 elsewhere (Behrmann et al., 2019)

    A ReLU has no second derivative, by which the log-determinant would learn.
    """
    if kind == "elu":
        slope = x.clamp_max(0.0).exp_()
        return x.clamp_min(0.0).add_(slope).sub_(1.0), slope
    assert b is not None
    gate = torch.sigmoid(x * b)
    value = (x * gate).mul_(1.0 / BOUND)
    slope = torch.addcmul(value * b, value * b, gate, value=-1.0)
    return value, slope.add_(gate, alpha=1.0 / BOUND)


def activate_twice(
    kind: Activation, x: Tensor, b: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """phi, phi', phi'' and d phi / db (None where there is no b). d phi' / db is x phi'' / b."""
    if kind == "elu":
        value, slope = activate(kind, x, b)
        return value, slope, torch.where(x > 0, 0.0, slope), None
    assert b is not None
    gate = torch.sigmoid(x * b)
    value = (x * gate).mul_(1.0 / BOUND)
    scaled = value * b
    slope = torch.addcmul(scaled, scaled, gate, value=-1.0).add_(gate, alpha=1.0 / BOUND)
    spread = torch.addcmul(gate, gate, gate, value=-1.0).mul_(1.0 / BOUND)  # s (1 - s) / 1.1
    bend = (x * b).mul_(1.0 - 2.0 * gate).add_(2.0).mul_(spread).mul_(b)
    return value, slope, bend, spread.mul_(x).mul_(x)
