"""The U-Net of the denoising autoencoder, for images and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secondread.networks.by_rank import CONVOLUTION, TRANSPOSED_CONVOLUTION, channels_last, halved
from secondread.networks.unet.standardised_convolution import STANDARDISED_CONVOLUTION


class UNet(nn.Module):
    """`[N, channels_in, *size]` to `[N, channels_out, *size]`.

    `depth` levels of `width`, 2, 4 ... times `width` channels; on each two 3×3 convolutions with standardised
    weights and reflected edges, each followed by Swish and group normalisation. Down by means of 2×2, up by
    transposed convolutions 2×2, joined with what the level had on the way down. A 1×1 convolution ends it.

    Sizes are multiples of 2^(depth - 1), with at least two positions on the lowest level.

    Source: A. Kascenas, N. Pugeault, A. O'Neil, Denoising autoencoders for unsupervised anomaly detection in
    brain MRI, MIDL 2022, and the authors' code (AntanasKascenas/DenoisingAE).
    """

    def __init__(
        self, rank: int, channels_in: int, channels_out: int, size: Sequence[int], *, width: int, depth: int
    ) -> None:
        super().__init__()
        least = 2 ** (depth - 1)
        if len(size) != rank or any(length % least or length < 2 * least for length in size):
            raise ValueError(
                f"a U-Net of depth {depth} takes {rank} sizes that are multiples of {least} and at least "
                f"{2 * least}, not {tuple(size)}; lower depth or change the size"
            )
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(
            double_convolution(rank, before, after)
            for before, after in zip((channels_in, *widths), widths, strict=False)
        )
        above = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.grow = nn.ModuleList(
            TRANSPOSED_CONVOLUTION[rank](before, after, 2, 2) for before, after in above
        )
        self.up = nn.ModuleList(double_convolution(rank, 2 * after, after) for _, after in above)
        self.last = CONVOLUTION[rank](width, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = channels_last(x)
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else halved(x))
            kept.append(x)
        kept.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(torch.cat((grow(x), kept.pop()), dim=1))
        found: Tensor = self.last(x)
        return found


def double_convolution(rank: int, before: int, after: int) -> nn.Sequential:
    """Two times: 3×3 convolution, Swish, group normalisation."""
    steps: list[nn.Module] = []
    for channels in (before, after):
        convolution = STANDARDISED_CONVOLUTION[rank]
        steps += [
            convolution(channels, after, 3, padding=1, padding_mode="reflect"),
            nn.SiLU(),
            nn.GroupNorm(groups(after), after),
        ]
    return nn.Sequential(*steps)


def groups(channels: int) -> int:
    """Of the divisors of a number of channels the middle one, the larger of two: 8 of 64, 16 of 128."""
    divisors = [number for number in range(1, math.isqrt(channels) + 1) if channels % number == 0]
    every = sorted({*divisors, *(channels // number for number in divisors)})
    return every[len(every) // 2]
