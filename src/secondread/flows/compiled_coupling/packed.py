"""Parameters of a coupling in the order in which compiled code takes them, kept beside the coupling."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secondread.networks.fused_convolution import folded_parameters, stamp_of
from secondread.networks.native.grouped import grouped, whole

KEPT = "_packed"


@dataclass(frozen=True)
class Packed:
    """No copy is made of it with its module, whose parameters have other places then.

    record   sizes and addresses, as coupling.cpp reads them
    tensors  what lies at these
    """

    stamp: tuple[object, ...] = ()
    record: bytes = b""
    tensors: tuple[Tensor, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Packed, ()


def packed_coupling(
    place: nn.Module,
    convolutions: tuple[nn.Conv2d, nn.Conv2d],
    scale: nn.Parameter,
    offset: nn.Parameter,
    permutation: Tensor,
    clamp: float,
    first: int,
    lanes: int,
    widest: int,
) -> Packed:
    """Of the coupling `place`; made anew when a parameter has changed. `scale` is that before softplus."""
    own = tuple((tensor.data_ptr(), tensor._version) for tensor in (scale, offset, permutation))
    stamp = (lanes, widest, clamp, *own, *(stamp_of(each, None) for each in convolutions))
    kept = place.__dict__.get(KEPT)
    if isinstance(kept, Packed) and kept.stamp == stamp:
        return kept
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
    packed = Packed(stamp, record, (*tensors, *last))
    place.__dict__[KEPT] = packed
    return packed
