"""The ResNet-18 encoder-decoder of NSA, for images and volumes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.by_rank import (
    BATCH_NORM,
    CONVOLUTION,
    INTERPOLATION,
    MAX_POOL,
    TRANSPOSED_CONVOLUTION,
    channels_last,
    convolution,
    transposed_convolution,
)
from secondread.networks.distillation.residual_block import normalised
from secondread.wording.sizes import times

BLOCKS = 2
"""Of each of the encoder's four stages, as in ResNet-18."""


class ResidualSegmenter(nn.Module):
    """`[N, channels_in, *size]` to `[N, channels_out, *size]`.

    ResNet-18's convolutions: 7×7 of stride 2, maximum over 3×3 of stride 2 (where `pool`), and four stages of
    two residual blocks with 1, 2, 4, 8 times `width` channels, each but the first at half the resolution. Two
    1×1 convolutions, each with ReLU, to 4 and 2 times `width`. Three residual blocks that double the
    resolution by transposed convolutions, with `width`, a half and a quarter of it; linear interpolation to
    twice the size where `pool`; a transposed convolution 7×7 of stride 2. No skips, no biases but that of the
    last where `bias`.

    Sizes are multiples of 32 (of 16 without `pool`), `ValueError` for others and for a width that is no
    multiple of 4.

    Source: H. M. Schlüter et al., Natural synthetic anomalies, ECCV 2022, and its code
    (hmsch/natural-synthetic-anomalies), which has width 64.
    """

    def __init__(
        self,
        rank: int,
        channels_in: int,
        channels_out: int,
        size: Sequence[int],
        *,
        width: int,
        pool: bool,
        bias: bool = False,
    ) -> None:
        super().__init__()
        least = 32 if pool else 16
        if len(size) != rank or any(length % least or not length for length in size):
            raise ValueError(
                f"a ResNet-18 encoder-decoder {'with' if pool else 'without'} pooling takes {rank} sizes "
                f"that are multiples of {least}, not {times(size)}; change the size"
                + (", or set pool to false" if pool and not any(length % 16 for length in size) else "")
            )
        if width % 4:
            raise ValueError(f"width is {width}, and should be a multiple of 4: the last block has a quarter")
        convolution, norm = CONVOLUTION[rank], BATCH_NORM[rank]
        start: list[nn.Module] = [
            convolution(channels_in, width, 7, 2, 3, bias=False), norm(width), nn.ReLU()
        ]  # fmt: skip
        if pool:
            start.append(MAX_POOL[rank](3, 2, 1))
        widths = [width, *(width * 2**stage for stage in range(4))]
        down: list[nn.Module] = []
        for stage, (before, after) in enumerate(itertools.pairwise(widths)):
            down.append(ResidualBlock(rank, before, after, change="half" if stage else "none"))
            down += [ResidualBlock(rank, after, after, change="none") for _ in range(BLOCKS - 1)]
        self.encoder = nn.Sequential(*start, *down)
        self.narrow = nn.Sequential(
            convolution(8 * width, 4 * width, 1, bias=False),
            nn.ReLU(),
            convolution(4 * width, 2 * width, 1, bias=False),
            nn.ReLU(),
        )
        thin = (2 * width, width, width // 2, width // 4)
        self.decoder = nn.Sequential(
            *(ResidualBlock(rank, *pair, change="double") for pair in itertools.pairwise(thin))
        )
        self.pool = pool
        self.last = TRANSPOSED_CONVOLUTION[rank](
            width // 4, channels_out, 7, 2, 3, output_padding=1, bias=bias
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.decoder(self.narrow(self.encoder(channels_last(x))))
        if self.pool:
            x = functional.interpolate(
                x, scale_factor=2.0, mode=INTERPOLATION[x.dim() - 2], align_corners=True
            )
        found: Tensor = self.last(x)
        return found


class ResidualBlock(nn.Module):
    """ReLU(S(x) + B(C₂(ReLU(B(C₁(x)))))); C₁ and the 1×1 shortcut S halve or double the resolution, by
    stride 2 or as transposed convolutions of stride 2. S is x itself where neither resolution nor channels
    change."""

    def __init__(self, rank: int, before: int, after: int, *, change: str) -> None:
        super().__init__()
        norm = BATCH_NORM[rank]

        def changed(side: int) -> nn.Module:
            if change == "double":
                return transposed_convolution(
                    rank, before, after, side, 2, side // 2, output_padding=1, bias=False
                )
            stride = 2 if change == "half" else 1
            return convolution(rank, before, after, side, stride, side // 2, bias=False)

        self.conv1, self.norm1 = changed(3), norm(after)
        self.conv2 = CONVOLUTION[rank](after, after, 3, padding=1, bias=False)
        self.norm2 = norm(after)
        same = change == "none" and before == after
        self.shortcut = nn.Identity() if same else nn.Sequential(changed(1), norm(after))

    def forward(self, x: Tensor) -> Tensor:
        inner = normalised(x, self.conv1, self.norm1, relu=True, fold=False)
        return normalised(inner, self.conv2, self.norm2, relu=True, add=self.shortcut(x), fold=False)
