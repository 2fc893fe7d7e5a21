"""Couplings by compiled code, where it suits them and a trial finds it faster."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeGuard

import torch
from torch import Tensor, nn

from secondread.flows.compiled_coupling.kernel import CODE, CouplingsKernel
from secondread.flows.compiled_coupling.packed import KEPT, Packed, packed_coupling
from secondread.flows.coupling import CouplingBlock
from secondread.flows.elementwise import Affine
from secondread.flows.subnets import ConvSubnet
from secondread.networks.native.choice import SINGLE, Choice, is_plain
from secondread.networks.native.kept import kept
from secondread.networks.native.state import state_of
from secondread.networks.native.trial import gain

FEWEST_POSITIONS = 8
"""Of a map, below which torch's operations on many maps at once take less."""
MOST_TILES = 11
"""Of 4×4 in a map; above, convolutions 3×3 take fewer products (`networks.convolution3.frozen`)."""


def compiled_transform(blocks: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, Tensor] | None:
    """What `Flow.transform` gives without a condition, by one call of compiled code; None where that does not
    suit or is not faster.

    It is for small maps `[N, C, H, W]` without gradient on a CPU in float32, affine couplings with a
    `ConvSubnet` and a permutation. Parameters are kept beside the couplings in its order, and made anew when
    one has changed. An image's numbers are the same bits in every batch and on any number of threads. Both
    ways agree to the rounding of float32, some 1e-6 of the largest value for each coupling.
    """
    kernel = CHOICE.kernel() if _suits(x) else None
    if kernel is None:
        return None
    packed = _packed(list(blocks), x.shape[1], kernel)
    return _run(kernel, x, packed) if packed.records else None


def _run(kernel: CouplingsKernel, x: Tensor, packed: Packed) -> tuple[Tensor, Tensor]:
    """Holds what the records point to: another thread may meanwhile put its own in the place of it."""
    return kernel(x, packed.records)


def _suits(x: Tensor) -> bool:
    return (
        not torch.is_grad_enabled()
        and is_plain(x)
        and x.dim() == 4
        and x.shape[2] * x.shape[3] >= FEWEST_POSITIONS
        and -(-x.shape[2] // 4) * -(-x.shape[3] // 4) <= MOST_TILES
    )


def _packed(blocks: list[nn.Module], channels: int, kernel: CouplingsKernel) -> Packed:
    """The couplings', kept beside the last; no records where one is no such coupling."""
    modules: list[nn.Module] = []
    form: list[object] = [channels, kernel.lanes, kernel.widest]
    for block in blocks:
        if type(block) is not CouplingBlock or type(block.elementwise) is not Affine:
            return Packed()
        if type(block.subnet) is not ConvSubnet or block.permutation is None:
            return Packed()
        modules += [block, *block.subnet._modules.values()]
        form.append(block.elementwise.clamp)
    if not blocks:
        return Packed()
    make = partial(_made, blocks, channels, kernel)
    return kept(blocks[-1], KEPT, tuple(form), state_of(modules), make)


def _made(blocks: list[nn.Module], channels: int, kernel: CouplingsKernel) -> Packed:
    """The records and what they need; nothing where a block is not such a coupling."""
    records: list[bytes] = []
    tensors: list[Tensor] = []
    for block in blocks:
        assert isinstance(block, CouplingBlock)
        assert isinstance(block.subnet, ConvSubnet)
        assert isinstance(block.elementwise, Affine)
        first, _, last = block.subnet
        if not (_is_centred(first) and _is_centred(last) and first.in_channels == block.halves[0]):
            return Packed()
        if block.permutation is None or len(block.permutation) != channels:
            return Packed()
        record, needed = packed_coupling(
            (first, last),
            block.scale_before_softplus,
            block.offset,
            block.permutation,
            block.elementwise.clamp,
            block.halves[0],
            kernel.lanes,
            kernel.widest,
        )
        records.append(record)
        tensors += needed
    return Packed(tuple(records), tuple(tensors))


def _is_centred(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """A convolution in float32 that keeps a map's size."""
    return (
        isinstance(module, nn.Conv2d)
        and len(set(module.kernel_size)) == 1
        and module.kernel_size[0] % 2 == 1
        and module.padding == (module.kernel_size[0] // 2,) * 2
        and module.stride == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and module.weight.is_cpu
        and module.weight.dtype is SINGLE
    )


@torch.no_grad()
def _trial(kernel: CouplingsKernel) -> float:
    """On a coupling of 8×8 cells."""
    generator = torch.Generator().manual_seed(0)
    block = CouplingBlock(128, partial(ConvSubnet, 2, hidden=128), generator=generator).requires_grad_(False)
    x = torch.randn(1, 128, 8, 8, generator=generator).contiguous(memory_format=torch.channels_last)
    return gain({False: lambda: block(x), True: lambda: _run(kernel, x, _packed([block], 128, kernel))})


CHOICE = Choice(CODE, _trial)
