"""DRAEM's discriminative network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondread.networks.convolution3 import convolution3
from secondread.networks.draem.convolutions import Encoder, begin, convolutions, enlarged, narrowed


class SegmentationNetwork(nn.Module):
    """`[N, channels, *size]` to two logits per place, normal and abnormal: a U-Net.

    On each level of the decoder the map is enlarged (one convolution to the level's channels), joined with
    the encoder's, and passes two convolutions. Sizes are multiples of 2^`poolings`.

    Source: V. Zavrtanik, M. Kristan, D. Skočaj, DRAEM, ICCV 2021, and the authors' code (VitjanZ/DRAEM):
    width 64, five poolings.
    """

    def __init__(self, rank: int, channels: int, width: int, poolings: int) -> None:
        super().__init__()
        self.encoder = Encoder(rank, channels, width, poolings)
        self.enlarge, self.join = nn.ModuleList(), nn.ModuleList()
        before, *beside = self.encoder.widths[::-1]
        for own, after in zip(beside, narrowed(self.encoder.widths), strict=True):
            self.enlarge.append(enlarged(rank, before, after))
            self.join.append(convolutions(rank, after + own, after, after))
            before = after
        self.last = convolution3(rank, before, 2)
        begin(self)

    def forward(self, x: Tensor) -> Tensor:
        *levels, x = self.encoder(x)
        for enlarge, join in zip(self.enlarge, self.join, strict=True):
            x = join(torch.cat((enlarge(x), levels.pop()), dim=1))
        found: Tensor = self.last(x)
        return found
