"""Residual blocks that keep a grid, make it coarser, or make it finer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.networks import by_rank
from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, TRANSPOSED_CONVOLUTION, resize
from secondread.networks.convolution3.fused_convolution import convolve

BlockForm = Literal["bottleneck", "basic"]


def convolution(
    rank: int, channels_in: int, channels_out: int, kernel: int, strides: Sequence[int] | None = None
) -> nn.Module:
    """Without a bias, with half the kernel as padding."""
    return by_rank.convolution(rank, channels_in, channels_out, kernel, strides or 1, kernel // 2, bias=False)


def finer(rank: int, channels_in: int, channels_out: int, strides: Sequence[int]) -> nn.Module:
    """The transposed convolution that makes a grid finer by `strides`, its kernel as large as they are."""
    strides = tuple(strides)
    return TRANSPOSED_CONVOLUTION[rank](channels_in, channels_out, strides, strides, bias=False)


def normalised(
    x: Tensor,
    layer: nn.Module,
    norm: nn.Module | None,
    *,
    relu: bool,
    add: Tensor | None = None,
    fold: bool = True,
) -> Tensor:
    """relu(norm(layer(x)) + add), as `convolve` has it."""
    if isinstance(layer, nn.Conv2d) and (norm is None or isinstance(norm, nn.BatchNorm2d)):
        return convolve(x, layer, norm, add=add, relu=relu, fold=fold)
    x = layer(x)
    x = x if norm is None else norm(x)
    x = x if add is None else x + add
    return x.relu() if relu else x


def onto(x: Tensor, grid: Sequence[int]) -> Tensor:
    """A map on a grid that is nearly its own: what lies beyond is cut off, what is missing interpolated."""
    for axis, length in enumerate(grid, start=2):
        if x.shape[axis] > length:
            x = x.narrow(axis, 0, length)
    return resize(x, tuple(grid))


class ResidualBlock(nn.Module):
    """Convolutions with batch normalisation, ReLU between them, a shortcut, ReLU.

    bottleneck  1×1 to `channels_out` / `squeeze`, 3×3, 1×1 (He et al., CVPR 2016; squeeze 4, or 2 in wide
                ones)
    basic       3×3, 3×3

    strides  along each axis; the first 3×3 has them. With `up` a transposed convolution with a kernel as
             large as its stride stands in its place, and in place of the shortcut's 1×1.

    Batch statistics are those of training in eval mode.
    """

    def __init__(
        self,
        rank: int,
        channels_in: int,
        channels_out: int,
        *,
        form: BlockForm,
        squeeze: int = 2,
        strides: Sequence[int] | None = None,
        up: bool = False,
    ) -> None:
        super().__init__()
        strides = tuple(strides or (1,) * rank)
        moves = any(stride > 1 for stride in strides)

        def middle(here: int, there: int) -> nn.Module:
            if up and moves:
                return finer(rank, here, there, strides)
            return convolution(rank, here, there, 3, strides)

        if form == "bottleneck":
            inner = max(1, channels_out // squeeze)
            layers = [
                convolution(rank, channels_in, inner, 1),
                middle(inner, inner),
                convolution(rank, inner, channels_out, 1),
            ]
            widths = [inner, inner, channels_out]
        else:
            layers = [middle(channels_in, channels_out), convolution(rank, channels_out, channels_out, 3)]
            widths = [channels_out, channels_out]
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(BATCH_NORM[rank](width) for width in widths)
        self.shortcut: nn.Module | None = None
        if moves or channels_in != channels_out:
            self.shortcut = (
                finer(rank, channels_in, channels_out, strides)
                if up and moves
                else convolution(rank, channels_in, channels_out, 1, strides)
            )
            self.shortcut_norm = BATCH_NORM[rank](channels_out)
        start_as_residual_networks_do(self)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.shortcut is not None:
            shortcut = normalised(x, self.shortcut, self.shortcut_norm, relu=False)
        last = len(self.layers) - 1
        for place, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = normalised(x, layer, norm, relu=True, add=shortcut if place == last else None)
        return x


@torch.no_grad()
def start_as_residual_networks_do(network: nn.Module) -> None:
    """Convolutions from a normal distribution of variance 2 / (outputs · kernel); transposed ones as they
    are."""
    kinds = tuple(CONVOLUTION.values())
    for module in network.modules():
        if isinstance(module, kinds):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
