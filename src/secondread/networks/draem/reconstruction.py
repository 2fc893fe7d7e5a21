"""DRAEM's reconstructive network."""

from __future__ import annotations

from torch import Tensor, nn

from secondread.networks.convolution3 import convolution3
from secondread.networks.draem.convolutions import Encoder, begin, convolutions, enlarged, narrowed


class ReconstructionNetwork(nn.Module):
    """`[N, channels, *size]` to the same shape, without an activation at its end, by way of the deepest level
    of an encoder alone: no level of the decoder sees the encoder's.

    On each level of the decoder the map is enlarged (one convolution), then come two convolutions, the second
    to the level's channels. Sizes are multiples of 2^`poolings`.

    Source: V. Zavrtanik, M. Kristan, D. Skočaj, DRAEM, ICCV 2021, and the authors' code (VitjanZ/DRAEM):
    width 128, four poolings.
    """

    def __init__(self, rank: int, channels: int, width: int, poolings: int) -> None:
        super().__init__()
        self.encoder = Encoder(rank, channels, width, poolings)
        steps: list[nn.Module] = []
        before = self.encoder.widths[-1]
        for after in narrowed(self.encoder.widths):
            steps += [enlarged(rank, before, before), convolutions(rank, before, before, after)]
            before = after
        self.decoder = nn.Sequential(*steps, convolution3(rank, before, channels))
        begin(self)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.decoder(self.encoder(x)[-1])
        return found
