"""The wide residual encoder-decoder of FPI and PII, for images and volumes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.networks.by_rank import BATCH_NORM, CONVOLUTION, channels_last, convolution, halved
from secondread.networks.distillation.residual_block import normalised
from secondread.wording.sizes import times

FIRST = 16
"""Channels of the first convolution."""


def stages_of(depth: int) -> tuple[int, int]:
    """How many stages a depth means, and blocks in each: 10 n + 6 is five of n, 12 n + 7 six of n."""
    for stages, rest in ((5, 6), (6, 7)):
        blocks, left = divmod(depth - rest, 2 * stages)
        if blocks >= 1 and left == 0:
            return stages, blocks
    raise ValueError(
        f"a wide residual encoder-decoder has a depth of 10 n + 6 (16, 26, …) or 12 n + 7 (19, 31, …), "
        f"not {depth}"
    )


class WideResidualSegmenter(nn.Module):
    """`[N, channels_in, *size]` to `[N, channels_out, *size]`.

    A 3×3 convolution to 16 channels; then stages of pre-activated residual blocks with 1, 2, 4, 4, 4 (and, in
    the deeper form, 4) times 16 · `width` channels, each stage but the first at half the resolution of the
    one before; then one block for each halving that doubles the resolution (nearest), with 2, (2,) 1 times
    16 · `width`, 16 and at last `channels_out` channels. No skips between both halves, no biases, or
    one for each output where `bias`.

    A block gives S(a) + C₂(ReLU(B₂(R(C₁(a))))), a = ReLU(B₁(x)), with 3×3 convolutions C, batch normalisation
    B, R twice the resolution on the way up, and S a 1×1 convolution (with the same change of resolution)
    where the channels change. Where they do not, S is of x: its mean over 2×2, x twice as fine, or x.

    Sizes are multiples of 2^(stages - 1), `ValueError` for others and for depths that mean no number of
    blocks (`stages_of`).

    Source: J. Tan et al., Detecting outliers with foreign patch interpolation, MELBA 2022, and the authors'
    code (jemtan/FPI, jemtan/PII), in Keras, which pads the image on one side alone before a convolution of
    stride 2; here padding is even.
    """

    def __init__(
        self,
        rank: int,
        channels_in: int,
        channels_out: int,
        size: Sequence[int],
        *,
        depth: int,
        width: int,
        bias: bool = False,
    ) -> None:
        super().__init__()
        stages, blocks = stages_of(depth)
        least = 2 ** (stages - 1)
        if len(size) != rank or any(length % least or not length for length in size):
            raise ValueError(
                f"a wide residual encoder-decoder of depth {depth} takes {rank} sizes that are multiples of "
                f"{least}, not {times(size)}; change the size"
            )
        one, two, four = (FIRST * width * factor for factor in (1, 2, 4))
        down = [FIRST, one, two, *[four] * (stages - 2)]
        up = [four, *[two] * (stages - 4), one, FIRST, channels_out]
        self.first = CONVOLUTION[rank](channels_in, FIRST, 3, padding=1, bias=False)
        steps: list[nn.Module] = []
        for stage, (before, after) in enumerate(itertools.pairwise(down)):
            steps.append(PreActivatedBlock(rank, before, after, change="half" if stage else "none"))
            steps += [PreActivatedBlock(rank, after, after, change="none") for _ in range(blocks - 1)]
        self.down = nn.Sequential(*steps)
        self.up = nn.Sequential(
            *(PreActivatedBlock(rank, *pair, change="double") for pair in itertools.pairwise(up))
        )
        self.last = Bias(channels_out) if bias else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.up(self.down(self.first(channels_last(x)))))
        return found


class Bias(nn.Module):
    """One number for each channel, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.view(-1, *[1] * (x.dim() - 2))


class PreActivatedBlock(nn.Module):
    """See `WideResidualSegmenter`; `change` of resolution: none, half or double."""

    def __init__(self, rank: int, before: int, after: int, *, change: str) -> None:
        super().__init__()
        norm, stride = BATCH_NORM[rank], 2 if change == "half" else 1
        self.change = change
        self.norm1 = norm(before)
        self.conv1 = convolution(rank, before, after, 3, stride, 1, bias=False)
        self.norm2 = norm(after)
        self.conv2 = convolution(rank, after, after, 3, 1, 1, bias=False)
        self.shortcut = None if before == after else convolution(rank, before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.norm1(x))
        short = x if self.shortcut is None else self.shortcut(active)
        if self.change == "double":
            inner, short = (
                functional.interpolate(part, scale_factor=2.0)
                for part in (normalised(active, self.conv1, None, relu=False, fold=False), short)
            )
            inner = functional.relu(self.norm2(inner))
        else:
            inner = normalised(active, self.conv1, self.norm2, relu=True, fold=False)
            short = halved(short) if self.change == "half" and self.shortcut is None else short
        return normalised(inner, self.conv2, None, relu=False, add=short, fold=False)
