"""Weights of layers in the order in which compiled code multiplies them, kept beside the last of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn

from secondread.networks.convolution3.doublings.kernel import LayersKernel
from secondread.networks.convolution3.frozen_kernel import FEWEST_CHANNELS
from secondread.networks.native.grouped import grouped, whole
from secondread.networks.native.kept import kept
from secondread.networks.native.state import state_of

KEPT = "_packed_layers"
ACTIVATIONS: dict[type[nn.Module], int] = {nn.ReLU: 1, nn.Tanh: 2}
"""By the numbers of transposed.h; 0 is none."""


@dataclass(frozen=True)
class Packed:
    """Layers, one after another.

    record    sizes and addresses, as run.h reads them
    tensors   what lies at these
    into      channels that the first layer takes; 0 = the layers are not compiled
    channels  that come out
    growth    of the map's size
    filtered  before each convolution 3×3, the size of its map by that of x
    """

    record: bytes = b""
    tensors: tuple[Tensor, ...] = ()
    into: int = 0
    channels: int = 0
    count: int = 0
    growth: int = 1
    filtered: tuple[int, ...] = ()


def packed_layers(layers: Sequence[nn.Module], kernel: LayersKernel) -> Packed:
    """The layers' weights; made anew when a parameter has changed."""
    form = (kernel, *map(type, layers))
    return kept(layers[0], KEPT, form, state_of(layers), lambda: _made(layers, kernel))


def _made(layers: Sequence[nn.Module], kernel: LayersKernel) -> Packed:
    steps, record, filtered = list(layers), b"", []
    tensors: list[Tensor] = []
    count = into = channels = 0
    growth = 1
    while steps:
        step = steps.pop(0)
        activation = ACTIVATIONS.get(type(steps[0]), 0) if steps else 0
        del steps[: int(activation > 0)]
        filters = _filters(step) and activation < 2
        if not (filters or _doubles(step)):
            return Packed()
        assert isinstance(step, nn.Conv2d | nn.ConvTranspose2d)
        ins, outs = step.in_channels, step.out_channels
        if count and ins != channels:
            return Packed()
        into, channels, count = into or ins, outs, count + 1
        weight = step.weight.detach()
        bias = weight.new_zeros(outs) if step.bias is None else step.bias.detach()
        if filters:
            size, own = 3, [kernel.spread(weight), whole(bias, kernel.lanes)]
            filtered.append(growth)
        else:
            size, own = 2, _by_side(weight, bias, kernel)
            growth *= 2
        tensors += own
        record += struct.pack("4q2Q", size, ins, outs, activation, *(tensor.data_ptr() for tensor in own))
    return Packed(record, tuple(tensors), into, channels, count, growth, tuple(filtered))


def _by_side(weight: Tensor, bias: Tensor, kernel: LayersKernel) -> list[Tensor]:
    """A transposed convolution's weight `[I, O, 2, 2]` and bias, as columns of its product (transposed.h)."""
    columns = weight.permute(0, 2, 3, 1).flatten(2)  # [I, 2, 2 O]
    biases = bias.repeat(2, 2)
    if 2 * columns.shape[2] > kernel.lanes:
        columns, biases = whole(columns, kernel.lanes), whole(biases, kernel.lanes)
    columns, biases = columns.flatten(1), biases.flatten()
    return [grouped(columns, kernel.lanes, kernel.widest), whole(biases, kernel.lanes)]


def _doubles(layer: nn.Module) -> TypeGuard[nn.ConvTranspose2d]:
    return (
        type(layer) is nn.ConvTranspose2d
        and layer.kernel_size == layer.stride == (2, 2)
        and layer.padding == layer.output_padding == (0, 0)
        and _is_plain(layer)
    )


def _filters(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.padding == (1, 1)
        and layer.padding_mode == "zeros"
        and min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS
        and _is_plain(layer)
    )


def _is_plain(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    tensors = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    return (
        layer.groups == 1
        and layer.dilation == (1, 1)
        and all(tensor.is_cpu and tensor.dtype is torch.float32 for tensor in tensors)
    )
