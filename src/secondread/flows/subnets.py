"""Networks inside a coupling: from one half of the channels to shift and scale of the other."""

from __future__ import annotations

from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION
from secondread.networks.convolution3.fused_convolution import convolve


class ConvSubnet(nn.Sequential):
    """Convolution to `hidden`, ReLU, convolution, both padded to the map's size.

    `kernels`, both odd: 3 and 1 in AE-FLOW for chest X-rays; 3 and 3, or 1 and 1, in FastFlow.
    """

    def __init__(
        self,
        rank: int,
        channels_in: int,
        channels_out: int,
        hidden: int,
        kernels: tuple[int, int] = (3, 1),
    ) -> None:
        convolution, (first, last) = CONVOLUTION[rank], kernels
        super().__init__(
            convolution(channels_in, hidden, first, padding=first // 2),
            nn.ReLU(),
            convolution(hidden, channels_out, last, padding=last // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        first, _, last = self
        if isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d):
            return convolve(convolve(x, first), last, relu=False)
        return super().forward(x)


class LinearSubnet(nn.Sequential):
    """Linear to twice the width, ReLU, linear, for rows `[N, channels_in]` (CFLOW-AD's)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        hidden = 2 * channels_in
        super().__init__(nn.Linear(channels_in, hidden), nn.ReLU(), nn.Linear(hidden, channels_out))


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
