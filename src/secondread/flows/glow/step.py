"""One step of a Glow: mixing of the channels, then a coupling; and how its gradient is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from secondread.flows.glow.choice import network_of
from secondread.flows.glow.coupling_net import CouplingNet, Hidden
from secondread.flows.glow.mixing import Mixing
from secondread.flows.glow.network import Network
from secondread.flows.glow.scales import Scale
from secondread.networks.precision import full_precision

Memory = Literal["recompute", "store", "invert"]


class Step(nn.Module):
    """Actnorm, invertible 1×1 convolution, affine or additive coupling (Kingma and Dhariwal, Glow, 2018).

        (y_1, y_2) = M x + c,   (t, h) = net(y_1),   out = (y_1, (y_2 + t) * s(h))
        log |det d out / dx| = log |det M| per position + sum log s(h)

    With `scale.scheme` spline it is h = net(y_1), out = (y_1, spline(y_2; h)), and the logarithm of the
    spline's slope in place of log s.

    y_1 is the first half of the channels. The state x is `[channels, N, *S]` (`flows.glow.planes`).
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        width: int,
        scale: Scale,
        *,
        mixing: Literal["plain", "lu"] = "plain",
        border: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.first = channels // 2
        rest = channels - self.first
        self.mixing = Mixing(channels, form=mixing, generator=generator)
        self.net = CouplingNet(
            rank, self.first, scale.outputs * rest, width, border=border, generator=generator
        )


@dataclass
class StepWeights:
    """A step's parameters, ready for use: M, c, the network, and M^-1 where it is asked for."""

    matrix: Tensor
    offset: Tensor
    net: Network
    inverse: Tensor | None = None


def step_forward(
    x: Tensor, weights: StepWeights, scale: Scale, keep: Hidden | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """out, h rounded to the network's precision, and log s(h), or of the slope, `[rest, N, *S]`."""
    mixed = torch.addmm(weights.offset[:, None], weights.matrix, x.flatten(1)).view(x.shape)
    half = len(x) // 2
    second = mixed[half:]
    shift, h = _network(mixed[:half], weights.net, keep, len(second), scale)
    if not scale.shifted:
        bent, log_slope = scale.bend(second, h.to(x.dtype))
        second.copy_(bent)
        return mixed, h, log_slope
    second += shift
    if scale.scheme == "additive":
        return mixed, h, torch.zeros_like(second)
    factor, log_factor = scale(h.to(x.dtype))
    second *= factor
    return mixed, h, log_factor


def step_inverse(out: Tensor, weights: StepWeights, scale: Scale) -> Tensor:
    """The x that `step_forward` takes to `out`."""
    assert weights.inverse is not None
    half = len(out) // 2
    shift, h = _network(out[:half], weights.net, None, len(out) - half, scale)
    return _unmixed(out, shift, h, weights, scale)


def _network(
    first: Tensor, net: Network, keep: Hidden | None, rest: int, scale: Scale
) -> tuple[Tensor, Tensor]:
    """Shift and h. h is rounded as it is kept for the gradient, so that both see the same number."""
    found = net.forward(first, keep)
    rest = rest if scale.shifted else 0
    return found[:rest], found[rest:].to(net.dtype, copy=True)  # not a view of all of `found`


def _unmixed(out: Tensor, shift: Tensor, h: Tensor, weights: StepWeights, scale: Scale) -> Tensor:
    mixed = out.clone()
    second = mixed[len(out) // 2 :]
    if not scale.shifted:
        second.copy_(scale.unbend(second, h.to(out.dtype)))
    else:
        if scale.scheme != "additive":
            second *= torch.exp(-scale(h.to(out.dtype))[1])
        second -= shift
    assert weights.inverse is not None
    flat = mixed.flatten(1) - weights.offset[:, None]
    return (weights.inverse @ flat).view(out.shape)


def step_backward(
    x: Tensor,
    out: Tensor,
    h: Tensor,
    weights: StepWeights,
    scale: Scale,
    hidden: Hidden | None,
    to_out: Tensor,
    to_log: Tensor,
    *,
    to_input: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor, tuple[Tensor, ...]]:
    """Gradients of x, M, c and the network's values, given those of `out` and of log s summed per image."""
    half = len(x) // 2
    first, second = out[:half], out[half:]
    coming = to_out[half:]
    if not scale.shifted:
        before = torch.addmm(weights.offset[half:, None], weights.matrix[half:], x.flatten(1))
        to_second, to_net = _bend_backward(before.view_as(second), h.to(x.dtype), scale, coming, to_log)
    elif scale.scheme == "additive":
        to_second, to_net = coming, coming
    else:
        h = h.to(x.dtype)
        to_second = coming * scale(h)[0]
        each = to_log.view(1, -1, *(1 for _ in x.shape[2:]))
        to_h = torch.addcmul(each.expand_as(second), coming, second) * scale.slope(h)
        to_net = torch.cat((to_second, to_h))
    to_first, net = weights.net.backward(first, to_net, hidden)
    to_mixed = torch.cat((to_out[:half] + to_first, to_second)).flatten(1)
    to_x = (weights.matrix.t() @ to_mixed).view(x.shape) if to_input else None
    return to_x, to_mixed @ x.flatten(1).t(), to_mixed.sum(dim=1), net


def _bend_backward(
    before: Tensor, h: Tensor, scale: Scale, coming: Tensor, to_log: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of a spline's input and of h, given those of its output and of log s summed per image."""
    with torch.enable_grad():
        leaves = (before.detach().requires_grad_(), h.detach().requires_grad_())
        bent, log_slope = scale.bend(*leaves)
        each = to_log.view(1, -1, *(1 for _ in before.shape[2:])).expand_as(log_slope)
        to_second, to_h = torch.autograd.grad((bent, log_slope), leaves, (coming, each))
    return to_second, to_h


class StepFunction(torch.autograd.Function):
    """A step whose gradient needs its input, its output and h, not the network's hidden values.

    The output is the next step's input, so a step adds its input and half the channels of h, in the
    network's precision, to what is kept; hidden values are computed again (`recompute`) or, in mode
    `store`, kept (not where the compiled network runs, which computes them faster than memory gives
    them back). Gradients of the parameters are handed over step by step.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        matrix: Tensor,
        offset: Tensor,
        scale: Scale,
        dtype: torch.dtype,
        store: bool,
        *values: Tensor,
    ) -> tuple[Tensor, Tensor]:
        weights = StepWeights(matrix, offset, network_of(values, dtype))
        keep: Hidden | None = [] if store and weights.net.keeps(x) else None
        out, h, log_factor = step_forward(x, weights, scale, keep)
        ctx.save_for_backward(x, out, h, matrix, offset, *values)
        ctx.scale, ctx.keep, ctx.dtype = scale, keep, dtype
        return out, log_factor.sum(dim=0).flatten(1).sum(dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_out: Tensor, to_log: Tensor) -> tuple[Tensor | None, ...]:
        x, out, h, matrix, offset, *values = ctx.saved_tensors
        with full_precision(x):
            weights = StepWeights(matrix, offset, network_of(values, ctx.dtype))
            to_x, to_matrix, to_offset, net = step_backward(
                x, out, h, weights, ctx.scale, ctx.keep, to_out, to_log, to_input=ctx.needs_input_grad[0]
            )
            ctx.keep = None
            return to_x, to_matrix, to_offset, None, None, None, *net


class InvertedFunction(torch.autograd.Function):
    """Several steps in a row that keep only their last output; the backward pass inverts them one by one.

    Exact up to the rounding of the inverse, so the run of steps should be short (`anchors`), and the
    scale of the coupling not near zero.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Scale, dtype: torch.dtype, count: int, *values: Tensor
    ) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[1])
        each = len(values) // count
        for number in range(count):
            matrix, offset, *net = values[number * each : (number + 1) * each]
            x, _, log_factor = step_forward(x, StepWeights(matrix, offset, network_of(net, dtype)), scale)
            total += log_factor.sum(dim=0).flatten(1).sum(dim=1)
        ctx.save_for_backward(x, *values)
        ctx.scale, ctx.count, ctx.dtype = scale, count, dtype
        return x, total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_out: Tensor, to_log: Tensor) -> tuple[Tensor | None, ...]:
        out, *values = ctx.saved_tensors
        each, half = len(values) // ctx.count, len(out) // 2
        gradients: list[Tensor] = []
        with full_precision(out):
            for number in reversed(range(ctx.count)):
                matrix, offset, *net = values[number * each : (number + 1) * each]
                weights = StepWeights(matrix, offset, network_of(net, ctx.dtype), inverse_of(matrix))
                shift, h = _network(out[:half], weights.net, None, len(out) - half, ctx.scale)
                x = _unmixed(out, shift, h, weights, ctx.scale)
                to_x, to_matrix, to_offset, found = step_backward(
                    x, out, h, weights, ctx.scale, None, to_out, to_log
                )
                assert to_x is not None
                gradients[:0] = (to_matrix, to_offset, *found)
                out, to_out = x, to_x
        return to_out, None, None, None, *gradients


def inverse_of(matrix: Tensor) -> Tensor:
    """M^-1, taken in float64."""
    return torch.linalg.inv(matrix.double()).to(matrix.dtype)
