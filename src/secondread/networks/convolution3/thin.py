"""A convolution 3×3 between many channels and a few, as a matrix product."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.as_graph import written_as_graph


class ThinConvolution3(nn.Conv2d):
    """A convolution 3×3 with a border of one zero between `[N, I, H, W]` and `[N, O, H, W]`, I or O a few.

    Where a gradient is wanted on a CPU in float32, it is one matrix product and, on the thin side, a sum or a
    copy of the nine taps: oneDNN's passes for so few channels take several times as long. Both agree to
    rounding. Elsewhere it is torch's.
    """

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if not self._suits(x):
            return super().forward(x)
        images, size = len(x), x.shape[2:]
        if self.in_channels < self.out_channels:
            taps = functional.unfold(x, 3, padding=1)
            weight = self.weight.flatten(1).expand(images, -1, -1)
            if self.bias is None:
                return torch.bmm(weight, taps).unflatten(2, size)
            return torch.baddbmm(self.bias.view(1, -1, 1), weight, taps).unflatten(2, size)
        weight = self.weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2).expand(images, -1, -1)
        y = functional.fold(torch.bmm(weight, x.flatten(2)), size, 3, padding=1)
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)

    def _suits(self, x: Tensor) -> bool:
        return (
            torch.is_grad_enabled()
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and x.dim() == 4
            and not torch.is_autocast_enabled("cpu")
            and not written_as_graph()
        )
