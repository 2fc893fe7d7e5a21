"""Parameters of a coupling in the order in which compiled code takes them, kept beside the coupling."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secondread.networks.convolution3.fused_convolution import folded_parameters
from secondread.networks.native.grouped import grouped, whole

KEPT = "_packed"


@dataclass(frozen=True)
class Packed:
    """Of couplings one after another.

    records  sizes and addresses, as coupling.cpp reads them
    tensors  what lies at these
    """

    records: tuple[bytes, ...] = ()
    tensors: tuple[Tensor, ...] = ()


def packed_coupling(
    convolutions: tuple[nn.Conv2d, nn.Conv2d],
    scale: nn.Parameter,
    offset: nn.Parameter,
    permutation: Tensor,
    clamp: float,
    first: int,
    lanes: int,
    widest: int,
) -> tuple[bytes, list[Tensor]]:
    """A coupling's record, and what it needs. `scale` is that before softplus."""
    tensors: list[Tensor] = []
    record = struct.pack("2q", len(scale), first)
    for convolution in convolutions:
        weight, bias = folded_parameters(convolution, None)
        some = [grouped(weight.permute(2, 3, 1, 0).flatten(0, 2), lanes, widest), whole(bias, lanes)]
        sizes = (convolution.in_channels, convolution.out_channels, convolution.kernel_size[0])
        record += struct.pack("3q2Q", *sizes, *(tensor.data_ptr() for tensor in some))
        tensors += some
    positive = 0.1 * torch.nn.functional.softplus(scale.detach(), beta=0.5)
    last = [positive[permutation], offset.detach()[permutation], permutation.clone()]
    record += struct.pack("3Q2f", *(tensor.data_ptr() for tensor in last), clamp, float(positive.log().sum()))
    return record, tensors + last
