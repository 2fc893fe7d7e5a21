"""Blocks by compiled code, where a trial finds that faster than layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secondread.networks.inverted_residual.kernel import CODE, BlocksKernel
from secondread.networks.inverted_residual.layers import InvertedResidual, Layer, Scale
from secondread.networks.inverted_residual.packed import Packed, packed_run
from secondread.networks.native.choice import SINGLE, Choice, is_plain
from secondread.networks.native.trial import gain


def run_blocks(x: Tensor, blocks: Sequence[InvertedResidual], scale: Scale | None = None) -> Tensor:
    """Blocks one after another, of images as `scale` has them.

    Without gradient on a CPU in float32, with norms in eval mode, they are one call of compiled code, if
    there is some and a trial on this machine found it faster; its weights are kept beside the blocks, and
    made anew when a parameter has changed. An image's numbers are the same bits in every batch and on any
    number of threads. Of grey images that are scaled alike, the first convolution sees one channel.
    Elsewhere, and in a graph, layers run one after another. Both agree to the rounding of float32, some 1e-6
    of a block's largest value.
    """
    suits = is_plain(x) and x.dim() == 4 and not torch.is_grad_enabled()
    kernel = CHOICE.kernel() if suits else None
    if kernel is not None and scale is not None and not _takes(scale, x, blocks[0]):
        x, scale = scale(x), None
    if kernel is not None and (packed := _packed(x, blocks, kernel, scale)):
        return kernel(x, packed, scale)
    x = x if scale is None else scale(x)
    for block in blocks:
        x = block(x)
    return x


def _takes(scale: Scale, x: Tensor, block: InvertedResidual) -> bool:
    """Whether compiled code scales x, as it puts zeros around it."""
    channels = scale.mean.shape[1]
    return (
        block.expand is not None
        and block.expand.convolution.kernel_size[0] > 1
        and x.shape[1] in (1, channels)
        and all(found.dtype is SINGLE and found.numel() == channels for found in scale)
        and all(found.device.type == "cpu" and found.is_contiguous() for found in scale)
    )


def _packed(
    x: Tensor, blocks: Sequence[InvertedResidual], kernel: BlocksKernel, scale: Scale | None = None
) -> Sequence[Packed]:
    """The blocks' weights; none where one of them is not compiled, or does not take x."""
    if any(layer.norm.training for block in blocks for layer in block.layers):
        return ()
    grey = scale is not None and x.shape[1] == 1 and scale.is_grey
    channels = x.shape[1] if scale is None or grey else scale.mean.shape[1]
    found = packed_run(blocks, kernel.lanes, kernel.widest, grey=grey)
    for packed in found:
        if packed.into != channels:
            return ()
        channels = packed.channels
    return found


@torch.no_grad()
def _trial(kernel: BlocksKernel) -> float:
    """On a block with a fine map and one with many channels."""
    generator = torch.Generator().manual_seed(0)
    cases = [(24, 3, 32), (112, 5, 8)]
    blocks = [_block(channels, size) for channels, size, _ in cases]
    maps = [torch.randn(1, channels, side, side, generator=generator) for channels, _, side in cases]
    maps = [x.contiguous(memory_format=torch.channels_last) for x in maps]

    def one_by_one() -> None:
        for block, x in zip(blocks, maps, strict=True):
            block(x)

    def compiled() -> None:
        for block, x in zip(blocks, maps, strict=True):
            kernel(x, _packed(x, [block], kernel))

    return gain({False: one_by_one, True: compiled})


def _block(channels: int, size: int) -> InvertedResidual:
    width = 6 * channels
    shapes = [(channels, width, 1, 1), (width, width, size, width), (width, channels, 1, 1)]
    layers = [
        Layer(
            nn.Conv2d(before, after, kernel, groups=groups, bias=False).requires_grad_(False),
            nn.BatchNorm2d(after).eval().requires_grad_(False),
        )
        for before, after, kernel, groups in shapes
    ]
    return InvertedResidual(layers[0], layers[1], layers[2], shortcut=True)


CHOICE = Choice(CODE, _trial, without="layer by layer")
