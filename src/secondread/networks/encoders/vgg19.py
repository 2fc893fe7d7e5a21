"""VGG-19 with torchvision's ImageNet weights and parameter names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

from torch import Tensor, nn

from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.weights.sources import SOURCES

WIDTHS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Of each block: channels, and how many convolutions."""


class VGG(nn.Module):
    """VGG-19 without batch normalisation: 143,667,240 parameters (Simonyan and Zisserman, ICLR 2015).

    Layers are called `features.<index>`; `features.17`, `features.26` and `features.35` are the last
    rectified maps of strides 4, 8 and 16.
    """

    tail = ("classifier",)
    default_layer = "features.35"
    layers_by_stride: ClassVar = {4: "features.17", 8: "features.26", 16: "features.35"}

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.channels: dict[str, int] = {}
        before = 3
        for width, count in WIDTHS:
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
            for index in range(len(self.channels), len(layers)):
                self.channels[f"features.{index}"] = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 1000),
        )  # fmt: skip

    def steps(self) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
        """The layers in order, by the name under which their map is asked for."""
        for index, layer in enumerate(self.features):
            yield f"features.{index}", layer

    def drop_after(self, layer: str) -> None:
        """Delete what lies behind `layer`."""
        del self.features[int(layer.rpartition(".")[2]) + 1 :]
        del self.classifier

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 7)
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


class VGG19(PretrainedEncoder):
    """See `VGG`."""

    name = "vgg19"
    make_network = VGG
    source = SOURCES["vgg19"]
    layers_by_stride = VGG.layers_by_stride
