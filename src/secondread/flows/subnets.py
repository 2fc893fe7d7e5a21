"""Networks inside a coupling: from one half of the channels to shift and scale of the other."""

from __future__ import annotations

from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION
from secondread.networks.fused_convolution import convolve


class ConvSubnet(nn.Sequential):
    """Convolution 3×3 to `hidden`, ReLU, convolution 1×1 (FastFlow's; AE-FLOW's for chest X-rays)."""

    def __init__(self, rank: int, channels_in: int, channels_out: int, hidden: int) -> None:
        convolution = CONVOLUTION[rank]
        super().__init__(
            convolution(channels_in, hidden, 3, padding=1), nn.ReLU(), convolution(hidden, channels_out, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, _, last = self
        if isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d):
            return convolve(convolve(x, first), last, relu=False)
        return super().forward(x)


class ResNetSubnet(nn.Module):
    """Convolution 3×3, batch normalisation, ReLU, plus a 1×1 shortcut (AE-FLOW's for other images)."""

    def __init__(self, rank: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[rank]
        self.main = nn.Sequential(
            convolution(channels_in, channels_out, 3, padding=1, bias=False),
            BATCH_NORM[rank](channels_out),
            nn.ReLU(),
        )
        self.shortcut = convolution(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.shortcut(x)
