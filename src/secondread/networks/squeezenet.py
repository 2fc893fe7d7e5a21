"""SqueezeNet 1.1 with torchvision's parameter names (Iandola et al., arXiv 1602.07360, version 1.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from secondread.networks.convolution3.fused_convolution import convolve


class RectifiedMaxPool(nn.MaxPool2d):
    """Maximum over 3×3 positions with stride 2 of maps that are nowhere negative.

    Without gradient in bfloat16 on a CPU it is taken along rows, then columns, on the numbers' bits as
    integers, which have the same order where no number is negative: the same maps in half the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        fast = x.dtype is torch.bfloat16 and x.device.type == "cpu" and not torch.is_grad_enabled()
        if not fast or x.shape[2] % 2 == 0 or x.shape[3] % 2 == 0 or min(x.shape[2:]) < 3:
            return super().forward(x)
        bits = x.view(torch.int16)
        rows = torch.maximum(bits[:, :, :-2:2], bits[:, :, 1:-1:2]).maximum(bits[:, :, 2::2])
        both = torch.maximum(rows[..., :-2:2], rows[..., 1:-1:2]).maximum(rows[..., 2::2])
        return both.view(torch.bfloat16)


class Fire(nn.Module):
    """A 1×1 convolution that squeezes, then 1×1 and 3×3 convolutions side by side that expand."""

    def __init__(self, channels_in: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_in, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = convolve(x, self.squeeze)
        return torch.cat((convolve(x, self.expand1x1), convolve(x, self.expand3x3)), dim=1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1: 1,235,496 parameters, no batch normalisation.

    Layers are called `features.<index>`. Convolution and pools have no padding, so that maps are a
    little smaller than size / stride: from 256×256, `features.4` is 128×63×63 (stride 4),
    `features.7` is 256×31×31 (stride 8), `features.12` is 512×15×15 (stride 16).
    """

    tail = ("classifier",)
    default_layer = "features.12"
    layers_by_stride: ClassVar = {4: "features.4", 8: "features.7", 16: "features.12"}

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2),
            nn.Identity(),  # torchvision's ReLU; here `_stem` applies it
            RectifiedMaxPool(3, 2, ceil_mode=True),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            RectifiedMaxPool(3, 2, ceil_mode=True),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            RectifiedMaxPool(3, 2, ceil_mode=True),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        )
        per_layer = (64, 64, 64, 128, 128, 128, 256, 256, 256, 384, 384, 512, 512)
        self.channels = {f"features.{index}": channels for index, channels in enumerate(per_layer)}

    def steps(self) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
        """The layers in order, by the name under which their map is asked for."""
        for index, layer in enumerate(self.features):
            yield f"features.{index}", self._stem if index == 0 else layer

    def _stem(self, x: Tensor) -> Tensor:
        convolution = self.features[0]
        assert isinstance(convolution, nn.Conv2d)
        return convolve(x, convolution)

    def drop_after(self, layer: str) -> None:
        """Delete what lies behind `layer`."""
        del self.features[int(layer.rpartition(".")[2]) + 1 :]
        del self.classifier

    def forward(self, x: Tensor) -> Tensor:
        for _, step in self.steps():
            x = step(x)
        return self.classifier(x).flatten(1)
