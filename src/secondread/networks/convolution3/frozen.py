"""Where a frozen convolution 3×3 is the compiled one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondread.networks.convolution3.frozen_kernel import CODE, FEWEST_CHANNELS, FrozenKernel
from secondread.networks.native.choice import Choice, is_plain
from secondread.networks.native.trial import gain

FEWEST_TILES = 12
"""Of 4×4 in an image, from which products take longer than the spread kernels, four times as large as plain
ones, from memory. A batch has no say: an image's bits are the same in any."""
FEWEST_FILLED = 10
"""Positions of a tile that the map has, on average."""


def frozen_kernel(x: Tensor, convolution: nn.Conv2d, relu: bool | float) -> FrozenKernel | None:
    """The compiled convolution where it may stand for `convolution` of x, a map on the CPU, and a trial on
    this machine found it faster than oneDNN's. It agrees with that to some 1e-5 of the largest value."""
    if not _suits(x, convolution) or not (relu is True or not relu):
        return None
    return CHOICE.kernel()


def _suits(x: Tensor, convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (3, 3)
        and convolution.stride == convolution.padding == convolution.dilation == (1, 1)
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
        and min(convolution.in_channels, convolution.out_channels) >= FEWEST_CHANNELS
        and x.dim() == 4
        and is_worth_it(*x.shape[2:])
        and is_plain(x)
        and convolution.weight.dtype is x.dtype
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def is_worth_it(rows: int, columns: int) -> bool:
    """Whether a map of this size has so many tiles, and is so much of them, that it takes less so."""
    tiles = -(-rows // 4) * -(-columns // 4)
    return tiles >= FEWEST_TILES and rows * columns >= FEWEST_FILLED * tiles


@torch.no_grad()
def _trial(kernel: FrozenKernel) -> float:
    """On a layer between middling ones."""
    generator = torch.Generator().manual_seed(0)
    last = torch.channels_last
    x = torch.randn(1, 64, 32, 32, generator=generator).contiguous(memory_format=last)
    weight = torch.randn(64, 64, 3, 3, generator=generator) / 24
    bias, geometry = torch.zeros(64), ((1, 1), (1, 1), (1, 1), 1)
    spread = kernel.spread(weight, bias)
    ordered = weight.contiguous(memory_format=last)
    packed = torch.ops.mkldnn._reorder_convolution_weight(ordered, *geometry, x.shape)

    def direct() -> None:
        torch.ops.mkldnn._convolution_pointwise(x, packed, bias, *geometry, "relu", [], "")

    return gain({False: direct, True: lambda: kernel.convolve(x, spread, None, relu=True)})


CHOICE = Choice(CODE, _trial, without="by oneDNN")
