"""The layers of an inverted residual block, and what they say one after another."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from secondread.networks.by_rank import channels_last
from secondread.networks.convolution3.fused_convolution import convolve

MOST = 6.0
"""Of ReLU6."""


class Scale(NamedTuple):
    """Images to what a network was trained on, each `[1, C, 1, 1]`."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(x - mean) / deviation, in channels-last order; grey is repeated."""
        return channels_last((x - self.mean) / self.deviation)

    @property
    def is_grey(self) -> bool:
        """Whether it is the same for all channels, so that those of grey images stay alike."""
        return all(len(set(values.flatten().tolist())) == 1 for values in self)


class Layer(NamedTuple):
    """A convolution without padding of its own, and the batch normalisation behind it."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d

    def __call__(self, x: Tensor, *, add: Tensor | None = None, relu: bool | float = MOST) -> Tensor:
        """relu(norm(convolution(x)) + add), with TensorFlow's "same" padding, as `convolve` has it."""
        return convolve(x, self.convolution, self.norm, add=add, relu=relu, same=True)


class InvertedResidual(NamedTuple):
    """`[N, C, H, W]` to `[N, C', ⌈H/s⌉, ⌈W/s⌉]`: ReLU6 of a dense convolution to more channels, ReLU6 of one
    by channel, and a 1×1; s is their stride.

    expand    mostly 1×1; None = the map has its width already. A network's first convolution may stand before
              a block without one.
    shortcut  x is added to what comes out
    """

    expand: Layer | None
    by_channel: Layer
    project: Layer
    shortcut: bool

    @property
    def layers(self) -> tuple[Layer, ...]:
        behind = (self.by_channel, self.project)
        return behind if self.expand is None else (self.expand, *behind)

    def __call__(self, x: Tensor) -> Tensor:
        """Layer by layer."""
        h = x if self.expand is None else self.expand(x)
        return self.project(self.by_channel(h), add=x if self.shortcut else None, relu=False)
