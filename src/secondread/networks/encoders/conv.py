"""A small convolutional encoder that is trained on the normals themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from secondread.networks.by_rank import CONVOLUTION, channels_last
from secondread.networks.convolution3.fused_convolution import FusedSequence
from secondread.networks.encoder import Encoder, EncoderSettings


class ConvEncoder(Encoder):
    """A small convolutional encoder for 2-D and 3-D, `[N, channels, *S]` to one map of stride `stride`.

    Each halving is a 3×3 convolution of stride 2 and one of stride 1 (3×3×3 in 3-D), with group
    normalisation and SiLU; the width doubles from `width` up to `widest`; a 1×1 convolution gives
    `code` channels of the map. Group normalisation sees one image only, so that no score depends on
    a batch.

    `linear` further channels are linear filters of each cell of `stride` pixels per axis, without
    overlap, orthonormal at the start. An autoencoder drops what it cannot rebuild yet, such as fine
    detail, and a lesion may be just that; with `linear` = channels · stride^rank nothing is lost.
    """

    learns = True
    ranks = frozenset({2, 3})

    def __init__(
        self,
        rank: int,
        channels: int,
        *,
        width: int = 16,
        widest: int = 128,
        code: int = 64,
        linear: int = 0,
        stride: int = 8,
    ) -> None:
        super().__init__()
        if stride not in (4, 8, 16):
            raise ValueError(f"the stride of a conv encoder is 4, 8 or 16, not {stride}")
        convolution = CONVOLUTION[rank]
        steps: list[nn.Module] = []
        planes, previous = width, channels
        for _ in range(stride.bit_length() - 1):
            for channels_in, step_stride in ((previous, 2), (planes, 1)):
                steps += [
                    convolution(channels_in, planes, 3, step_stride, 1),
                    nn.GroupNorm(max(1, planes // 8), planes),
                    nn.SiLU(),
                ]
            previous, planes = planes, min(2 * planes, widest)
        steps.append(convolution(previous, code, 1))
        self.network = FusedSequence(*steps)
        self.stride = stride
        self.linear: nn.Module | None = None
        if linear:
            filters = convolution(channels, linear, stride, stride)
            nn.init.orthogonal_(filters.get_parameter("weight"))
            self.linear = filters
        self.channels = (code + linear,)

    @classmethod
    def build(
        cls,
        settings: EncoderSettings,
        rank: int,
        channels: int,
        *,
        layers: Sequence[str] | None,
        pretrained: bool,
    ) -> Self:
        return cls(
            rank,
            channels,
            width=settings.width,
            widest=settings.widest,
            code=settings.code,
            linear=settings.linear,
            stride=settings.stride,
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = channels_last(2 * images - 1)
        h = self.network(x)
        if self.linear is None:
            return (h,)
        short = [-length % self.stride for length in reversed(x.shape[2:])]
        padded = nn.functional.pad(x, [side for end in short for side in (0, end)], mode="replicate")
        return (torch.cat((h, self.linear(padded)), dim=1),)
