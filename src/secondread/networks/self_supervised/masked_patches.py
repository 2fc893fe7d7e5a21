"""Masked image modelling: which patches are hidden, and the decoder that fills them in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, INTERPOLATION
from secondread.networks.convolution3.fused_convolution import FusedSequence


def hidden_patches(count: int, grid: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    """bool `[count, 1, *grid]`: of each image `share` of the patches, at least one and not all, anywhere."""
    patches = math.prod(grid)
    hidden = min(max(1, round(share * patches)), max(1, patches - 1))
    order = torch.rand(count, patches, generator=generator, device=generator.device).argsort(dim=1)
    chosen = torch.zeros(count, patches, dtype=torch.bool, device=order.device)
    return chosen.scatter_(1, order[:, :hidden], True).view(count, 1, *grid)


def on_pixels(patches: Tensor, side: int) -> Tensor:
    """A map of patches `[N, C, *grid]` on their pixels, `[N, C, *grid * side]`."""
    for axis in range(2, patches.dim()):
        patches = patches.repeat_interleave(side, dim=axis)
    return patches


def pixels_of_patches(images: Tensor, side: int) -> Tensor:
    """`[N, C, *size]` to `[N, C * side^rank, *size / side]`: the values of each patch, side by side."""
    rank, (count, channels, *size) = images.dim() - 2, images.shape
    split = images.view(count, channels, *itertools.chain(*((length // side, side) for length in size)))
    axes = [0, 1, *range(3, 2 * rank + 3, 2), *range(2, 2 * rank + 2, 2)]
    return split.permute(axes).reshape(count, -1, *(length // side for length in size))


class PatchDecoder(nn.Module):
    """Maps of several levels to the values of each patch, `[N, values, *grid]`: brought to the patches' grid
    by linear interpolation and joined, a convolution 1 and one of 3 with batch normalisation and ReLU, and a
    convolution 1."""

    def __init__(self, rank: int, channels: Sequence[int], width: int, values: int) -> None:
        super().__init__()
        convolution, norm = CONVOLUTION[rank], BATCH_NORM[rank]
        self.layers = FusedSequence(
            convolution(sum(channels), width, 1, bias=False),
            norm(width),
            nn.ReLU(),
            convolution(width, width, 3, padding=1, bias=False),
            norm(width),
            nn.ReLU(),
            convolution(width, values, 1),
        )

    def forward(self, maps: Sequence[Tensor], grid: Sequence[int]) -> Tensor:
        brought = [
            functional.interpolate(
                h.float(), size=tuple(grid), mode=INTERPOLATION[len(grid)], align_corners=False
            )
            for h in maps
        ]
        return self.layers(torch.cat(brought, dim=1))
