"""Weights of blocks in the order in which compiled code multiplies them, kept beside the block."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secondread.networks.convolution3.fused_convolution import folded_parameters
from secondread.networks.inverted_residual.layers import InvertedResidual
from secondread.networks.native.grouped import grouped, whole
from secondread.networks.native.kept import kept
from secondread.networks.native.state import state_of

KEPT = "_packed"
KEPT_RUN = "_packed_run"
KERNELS, STRIDES = (3, 5), (1, 2)
"""Of convolutions by channel, that are compiled."""


@dataclass(frozen=True)
class Packed:
    """A block's.

    record    sizes and addresses, as block.h reads them
    tensors   what lies at these
    into      channels that it takes; 0 = the block is not compiled
    channels  that come out
    strides   of the dense convolution and of that by channel
    """

    record: bytes = b""
    tensors: tuple[Tensor, ...] = ()
    into: int = 0
    channels: int = 0
    strides: tuple[int, int] = (1, 1)


def packed_run(
    blocks: Sequence[InvertedResidual], lanes: int, widest: int, *, grey: bool = False
) -> tuple[Packed, ...]:
    """The weights of blocks one after another; looked through anew when a parameter has changed.

    grey  of images whose channels are alike: the first block takes one of them, by the sum of its kernels
    """
    place = blocks[-1].project.convolution
    layers = [block.layers for block in blocks]
    form = (lanes, widest, grey, [block.shortcut for block in blocks], [len(each) for each in layers])
    state = state_of([module for each in layers for layer in each for module in layer])

    def make() -> tuple[Packed, ...]:
        return tuple(
            packed_block(block, lanes, widest, grey=grey and at == 0) for at, block in enumerate(blocks)
        )

    return kept(place, KEPT_RUN, form, state, make)


def packed_block(block: InvertedResidual, lanes: int, widest: int, *, grey: bool = False) -> Packed:
    """A block's weights, of `folded_parameters`; made anew when a parameter has changed."""
    place = block.project.convolution
    form = (lanes, widest, grey, block.shortcut, len(block.layers))
    state = state_of([module for layer in block.layers for module in layer])

    def make() -> Packed:
        return _made(block, lanes, widest, grey=grey) if _is_compiled(block) else Packed()

    return kept(place, KEPT, form, state, make)


def _made(block: InvertedResidual, lanes: int, widest: int, *, grey: bool) -> Packed:
    by_channel, last = block.by_channel.convolution, block.project.convolution
    into, size, strides = last.in_channels, 1, (1, by_channel.stride[0])
    tensors: list[Tensor] = []
    if block.expand is not None:
        dense = block.expand.convolution
        into, size, strides = dense.in_channels, dense.kernel_size[0], (dense.stride[0], strides[1])
        weight, bias = folded_parameters(*block.expand)
        if grey:
            into, weight = 1, weight.sum(dim=1, keepdim=True)
        tensors += [grouped(weight.permute(2, 3, 1, 0).flatten(0, 2), lanes, widest), whole(bias, lanes)]
    weight, bias = folded_parameters(*block.by_channel)
    vectors = whole(weight.flatten(1).t(), lanes).unflatten(1, (-1, lanes)).transpose(0, 1)
    tensors += [vectors.contiguous(), whole(bias, lanes)]
    weight, bias = folded_parameters(*block.project)
    tensors += [grouped(whole(weight.flatten(1), lanes).t(), lanes, widest), whole(bias, lanes)]
    width, channels = last.in_channels, last.out_channels
    sizes = (into, width, channels, size, strides[0], by_channel.kernel_size[0], strides[1], block.shortcut)
    addresses = [0, 0, *(tensor.data_ptr() for tensor in tensors)][-6:]
    return Packed(struct.pack("8q6Q", *sizes, *addresses), tuple(tensors), into, channels, strides)


def _is_compiled(block: InvertedResidual) -> bool:
    by_channel, project = block.by_channel.convolution, block.project.convolution
    dense = [] if block.expand is None else [block.expand.convolution]
    weights = [layer.convolution.weight for layer in block.layers]
    return (
        all(map(_is_square, [by_channel, project, *dense]))
        and project.kernel_size[0] == 1
        and all(convolution.groups == 1 for convolution in (project, *dense))
        and by_channel.kernel_size[0] in KERNELS
        and by_channel.stride[0] in STRIDES
        and by_channel.groups == by_channel.out_channels == by_channel.in_channels
        and not (block.shortcut and any(convolution.kernel_size[0] > 1 for convolution in dense))
        and all(weight.is_cpu and weight.dtype is torch.float32 for weight in weights)
    )


def _is_square(convolution: nn.Conv2d) -> bool:
    """Whether its axes are alike, and it misses no number between its taps."""
    (down, across), (row, column) = convolution.kernel_size, convolution.stride
    return down == across >= row == column and set(convolution.dilation) == {1}
