"""Convolution, batch normalisation, addition and ReLU of a frozen network in one pass over memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.as_graph import written_as_graph
from secondread.networks.by_rank import channels_last
from secondread.networks.convolution3.frozen import frozen_kernel
from secondread.networks.convolution3.frozen_kernel import FrozenKernel, Spread
from secondread.networks.native.kept import kept
from secondread.networks.native.state import State, state_of
from secondread.networks.precision import onednn_takes


@dataclass(frozen=True)
class _Folded:
    """A weight in the order in which oneDNN multiplies it, which it would be brought into at each call, and a
    bias.

    dtype  in which numbers are multiplied
    """

    weight: Tensor
    bias: Tensor
    dtype: torch.dtype


def convolve(
    x: Tensor,
    convolution: nn.Conv2d,
    norm: nn.BatchNorm2d | None = None,
    *,
    add: Tensor | None = None,
    relu: bool | float = True,
    same: bool = False,
    fold: bool = True,
) -> Tensor:
    """relu(norm(convolution(x)) + add), each but the convolution where it is given.

    relu  a number: ReLU cut off there, where nothing is added (6.0 for ReLU6)
    same  zeros around x in place of the convolution's own padding, by which stride s gives ceil(length / s)
          values along each axis; where their number is odd, the larger half lies behind
    fold  False: where it is not compiled, the layers run one after another, which is faster on small maps

    Without gradient on a CPU, with `norm` in eval mode, this is one oneDNN call on a folded weight (in
    autocast's precision where that is on); the folded weight is kept beside the convolution, in oneDNN's own
    order, and made anew when a parameter has changed. Where it is faster, a convolution 3×3 of stride 1 in
    float32 is one compiled call (`convolution3.frozen`). Elsewhere, and in a graph, the layers run one after
    another. All agree to the rounding of the precision in use, the compiled one to some ten times that. Where
    oneDNN has no bfloat16 for this processor, numbers that are rounded to it are multiplied and added in
    float32, as processors that have it do.
    """
    if _can_fuse(x, convolution, norm):
        kernel = None if same else frozen_kernel(x, convolution, relu)
        if kernel is not None:
            added = None if add is None else add.contiguous(memory_format=torch.channels_last)
            return kernel.convolve(x, _spread(kernel, convolution, norm), added, relu=bool(relu))
    if fold and _can_fuse(x, convolution, norm):
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        before, padding = _padding(x, convolution) if same else ((0, 0), convolution.padding)
        geometry = (padding, convolution.stride, convolution.dilation, convolution.groups)
        folded = _fold(x, convolution, norm, dtype, before, geometry)
        x = x.to(dtype).to(folded.dtype)
        if add is None:
            name, bounds = _activation(relu)
            return torch.ops.mkldnn._convolution_pointwise(
                x, folded.weight, folded.bias, *geometry, name, bounds, ""
            ).to(dtype)
        return torch.ops.mkldnn._convolution_pointwise(
            x,
            add.to(dtype).to(x.dtype),
            folded.weight,
            folded.bias,
            *geometry,
            "add",
            1.0,
            "relu" if relu else None,
            [],
            "",
        ).to(dtype)
    y = _padded(x, convolution) if same else convolution(x)
    if norm is not None:
        y = norm(y)
    if add is not None:
        y = y + add
    if relu is True or not relu:
        return functional.relu(y, inplace=True) if relu else y
    return functional.hardtanh(y, 0.0, relu, inplace=True)


class FusedSequence(nn.Sequential):
    """Layers one after another. Without gradient on a CPU each plain convolution of images that is compiled
    is one pass with the batch normalisation and the ReLU that follow it (`convolve`), on channels-last maps.
    """

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or input.dim() != 4 or input.device.type != "cpu":
            found: Tensor = super().forward(input)
            return found
        x, steps = channels_last(input), list(self)
        while steps:
            step = steps.pop(0)
            if not isinstance(step, nn.Conv2d):
                x = step(x)
                continue
            norm = steps[0] if steps else None
            norm = norm if isinstance(norm, nn.BatchNorm2d) else None
            del steps[: int(norm is not None)]
            relu = bool(steps) and isinstance(steps[0], nn.ReLU)
            del steps[: int(relu)]
            x = convolve(x, step, norm, relu=relu, fold=False)
        return x


def _zeros(x: Tensor, convolution: nn.Conv2d) -> list[tuple[int, int]]:
    """How many zeros lie before and behind x along each of its axes."""
    found = []
    for length, kernel, stride in zip(x.shape[2:], convolution.kernel_size, convolution.stride, strict=True):
        short = max(0, (math.ceil(length / stride) - 1) * stride + kernel - length)
        found.append((short // 2, short - short // 2))
    return found


def _padding(x: Tensor, convolution: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """The same zeros as oneDNN takes them, which has as many before as behind: where one more lies behind,
    one more lies before, too, and the kernel begins with a tap of zero. Which axes have one, and the padding.
    """
    zeros = _zeros(x, convolution)
    rows, columns = ((behind - before, behind) for before, behind in zeros)
    return (rows[0], columns[0]), (rows[1], columns[1])


def _padded(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    zeros = _zeros(x, convolution)
    padding = tuple(before for before, _ in zeros)
    if any(before != behind for before, behind in zeros):
        rows, columns = zeros
        x, padding = functional.pad(x, (*columns, *rows)), (0, 0)
    weight, bias = convolution.weight, convolution.bias
    return functional.conv2d(
        x, weight, bias, convolution.stride, padding, convolution.dilation, convolution.groups
    )


def _activation(relu: bool | float) -> tuple[str, list[float]]:
    """As oneDNN's operation calls it, with its bounds."""
    if relu is True or not relu:
        return ("relu" if relu else "none"), []
    return "hardtanh", [0.0, float(relu)]


def _can_fuse(x: Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> bool:
    return (
        x.device.type == "cpu"
        and not written_as_graph()
        and not torch.is_grad_enabled()
        and not (norm is not None and norm.training)
        and (torch.is_autocast_enabled("cpu") or x.dtype == convolution.weight.dtype)
        and _computed_in(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype)
        is not None
    )


def _computed_in(dtype: torch.dtype) -> torch.dtype | None:
    """In which type oneDNN multiplies numbers of this one here; None = in none."""
    if onednn_takes(dtype):
        return dtype
    return torch.float32 if dtype is torch.bfloat16 and onednn_takes(torch.float32) else None


def _fold(
    x: Tensor,
    convolution: nn.Conv2d,
    norm: nn.BatchNorm2d | None,
    dtype: torch.dtype,
    before: tuple[int, int],
    geometry: tuple[Any, ...],
) -> _Folded:
    """`folded_parameters`, the weight with zeros `before` its rows and columns and in oneDNN's order."""

    def make() -> _Folded:
        weight, bias = folded_parameters(convolution, norm)
        computed = _computed_in(dtype) or dtype
        weight = functional.pad(weight, (before[1], 0, before[0], 0))
        weight = weight.to(dtype).to(computed).contiguous(memory_format=torch.channels_last)
        packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, x.shape)
        return _Folded(packed, bias.to(dtype).to(computed), computed)

    return kept(convolution, "_folded", (dtype, before), stamp_of(convolution, norm), make)


def _spread(kernel: FrozenKernel, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Spread:
    """`folded_parameters` as the compiled convolution takes them."""

    def make() -> Spread:
        return kernel.spread(*folded_parameters(convolution, norm))

    return kept(convolution, "_spread", (), stamp_of(convolution, norm), make)


def stamp_of(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> State:
    """Which changes whenever `folded_parameters` do."""
    return state_of((convolution,) if norm is None else (convolution, norm))


def folded_parameters(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """weight * gamma / deviation and beta + (bias - mean) * gamma / deviation, in float32."""
    weight = convolution.weight.detach().float()
    bias = weight.new_zeros(len(weight)) if convolution.bias is None else convolution.bias.detach().float()
    if norm is None:
        return weight, bias
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("batch normalisation without running statistics cannot be folded")
    gain = norm.weight.detach().float() * (variance.float() + norm.eps).rsqrt()
    return weight * gain.view(-1, 1, 1, 1), norm.bias.detach().float() + (bias - mean.float()) * gain
