"""Residual networks with torchvision's parameter names, so that the public ImageNet weights load.

ResNet-18 and ResNet-50 (He et al., Deep residual learning, CVPR 2016; the stride of a bottleneck sits
on its 3×3 convolution) and Wide-ResNet-50-2 (Zagoruyko and Komodakis, BMVC 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from torch import Tensor, nn

from secondread.networks.convolution3.fused_convolution import convolve


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, channels_in: int, planes: int, stride: int, base_width: int) -> None:
        super().__init__()
        if base_width != 64:
            raise ValueError("a basic block has no inner width to change")
        self.conv1 = nn.Conv2d(channels_in, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(channels_in, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = convolve(x, self.conv1, self.bn1)
        return convolve(x, self.conv2, self.bn2, add=shortcut)


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut; the output has four times `planes` channels."""

    expansion = 4

    def __init__(self, channels_in: int, planes: int, stride: int, base_width: int) -> None:
        super().__init__()
        width = planes * base_width // 64
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.downsample = _shortcut(channels_in, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = convolve(x, self.conv1, self.bn1)
        x = convolve(x, self.conv2, self.bn2)
        return convolve(x, self.conv3, self.bn3, add=shortcut)


class Shortcut(nn.Sequential):
    """A 1×1 convolution and batch normalisation, where stride or channels change."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        convolution = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
        norm = nn.BatchNorm2d(channels_out)
        super().__init__(convolution, norm)
        self.layers = (convolution, norm)

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm = self.layers
        return convolve(x, convolution, norm, relu=False)


def _shortcut(channels_in: int, channels_out: int, stride: int) -> Shortcut | None:
    if stride == 1 and channels_in == channels_out:
        return None
    return Shortcut(channels_in, channels_out, stride)


class ResNet(nn.Module):
    """A ResNet for ImageNet: `[N, 3, H, W]` to 1,000 logits, and its maps on the way.

    `layer1` to `layer4` have strides 4, 8, 16 and 32.
    """

    tail = ("avgpool", "fc")
    default_layer = "layer3"
    layers_by_stride: ClassVar = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: Sequence[int], base_width: int = 64
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.channels = {"stem": 64}
        channels = 64
        for index, depth in enumerate(depths):
            planes, stride = 64 * 2**index, 1 if index == 0 else 2
            blocks: list[nn.Module] = []
            for place in range(depth):
                blocks.append(block(channels, planes, stride if place == 0 else 1, base_width))
                channels = planes * block.expansion
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            self.channels[f"layer{index + 1}"] = channels
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 1000)

    def steps(self) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
        """The layers in order, by the name under which their map is asked for."""
        yield "stem", self._stem
        for name in ("layer1", "layer2", "layer3", "layer4"):
            if hasattr(self, name):
                yield name, getattr(self, name)

    def _stem(self, x: Tensor) -> Tensor:
        return self.maxpool(convolve(x, self.conv1, self.bn1))

    def drop_after(self, layer: str) -> None:
        """Delete what lies behind `layer`."""
        names = [name for name, _ in self.steps()]
        for name in (*names[names.index(layer) + 1 :], *self.tail):
            delattr(self, name)

    def forward(self, x: Tensor) -> Tensor:
        for _, step in self.steps():
            x = step(x)
        return self.fc(self.avgpool(x).flatten(1))


def resnet18() -> ResNet:
    """ResNet-18: 11,689,512 parameters; `layer3` has 256 channels."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet50() -> ResNet:
    """ResNet-50: 25,557,032 parameters; `layer3` has 1,024 channels."""
    return ResNet(Bottleneck, (3, 4, 6, 3))


def wide_resnet50_2() -> ResNet:
    """Wide-ResNet-50-2, the encoder of AE-FLOW: 68,883,240 parameters; `layer3` has 1,024 channels."""
    return ResNet(Bottleneck, (3, 4, 6, 3), base_width=128)
