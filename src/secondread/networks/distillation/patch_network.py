"""Networks that describe patches, and the same at every pixel of an image at once (Bergmann et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from secondread.networks.by_rank import CONVOLUTION, MAX_POOL, channels_last
from secondread.networks.cells import Cells

PatchSide = Literal[17, 33, 65]
SLOPE = 5e-3
"""Of the leaky ReLU between convolutions."""
POOL = (0, 0)
LAYERS: dict[int, tuple[tuple[int, int], ...]] = {
    17: ((6, 1), (5, 2), (5, 2), (4, 0)),
    33: ((5, 1), POOL, (5, 2), POOL, (2, 2), (4, 0)),
    65: ((5, 1), POOL, (5, 1), POOL, (5, 1), POOL, (4, 2), (1, 0)),
}
"""For each side of a patch its layers: kernel and width, as a multiple of the network's (0: that of the
descriptor), or a pool of 2."""


class PatchNetwork(nn.Module):
    """Patches `[N, C, *side]` in [0, 1] to descriptors `[N, D, 1, ...]`; larger images to those of their
    patches.

    A patch of 33 or 65 pixels passes two or three pools, so that an image gives the descriptors of every
    `stride`-th patch. With `dense` it gives those of all, the same numbers: pools move by one pixel, and the
    kernels of what comes after a pool are dilated by 2 (C. Bailer, T. Habtegebrial, K. Varanasi, D. Stricker,
    Fast feature extraction with CNNs with pooling layers, 2018).

    side    of a patch, in pixels
    stride  between patches of the image that are described without `dense`
    """

    def __init__(self, rank: int, channels: int, side: PatchSide, *, width: int, descriptor: int) -> None:
        super().__init__()
        self.side: int = side
        steps: list[nn.Module] = []
        before = channels
        for kernel, times in LAYERS[side]:
            if kernel == 0:
                steps.append(MAX_POOL[rank](2))
                continue
            after = times * width or descriptor
            convolution = CONVOLUTION[rank](before, after, kernel)
            # torch's own start makes descriptors so small that no term but a scale-free one moves them
            nn.init.kaiming_normal_(convolution.get_parameter("weight"), a=SLOPE)
            nn.init.zeros_(convolution.get_parameter("bias"))
            steps.append(convolution)
            before = after
        self.steps = nn.ModuleList(steps)
        self.last = len(steps) - 1
        self.stride = 2 ** LAYERS[side].count(POOL)

    def forward(self, x: Tensor, *, dense: bool = False) -> Tensor:
        """`[N, D, *s]` of images of S pixels along an axis: s = S - side + 1, or without `dense` as many as
        there are `stride`-th ones of these."""
        positions = [length - self.side + 1 for length in x.shape[2:]]
        x, dilation = channels_last(2 * x - 1), 1
        for place, step in enumerate(self.steps):
            if isinstance(step, nn.MaxPool2d | nn.MaxPool3d):
                x = step(x) if not dense else _moved_by_one(step, x, dilation)
                dilation *= 2 if dense else 1
                continue
            x = _dilated(step, x, dilation)
            if place < self.last:
                x = leaky_relu(x, SLOPE)
        counts = positions if dense else [-(-length // self.stride) for length in positions]
        for axis, count in enumerate(counts, start=2):
            x = x.narrow(axis, 0, count)  # the patch of 33 does not look at its last pixel
        return x

    def around(self, images: Tensor) -> Tensor:
        """Images mirrored at their edges, so that each pixel is the middle of a patch."""
        return pad(images, [self.side // 2] * (2 * (images.dim() - 2)), mode="reflect")

    def cells(self, rank: int, *, dense: bool) -> Cells:
        """Where the patches of images that have passed `around` have their middles."""
        return Cells((0.0,) * rank, (1.0 if dense else float(self.stride),) * rank)


def refuse_small(sides: Sequence[int], size: Sequence[int]) -> None:
    """ValueError for images that cannot be mirrored at their edges for patches of these sides."""
    least = max(sides) // 2 + 1
    if min(size) < least:
        raise ValueError(
            f"patches of {max(sides)} pixels need images of at least {least} along each axis, not {min(size)}"
        )


def _dilated(step: nn.Module, x: Tensor, dilation: int) -> Tensor:
    assert isinstance(step, nn.Conv2d | nn.Conv3d)
    convolution = nn.functional.conv2d if x.dim() == 4 else nn.functional.conv3d
    found: Tensor = convolution(x, step.weight, step.bias, dilation=dilation)
    return found


def _moved_by_one(step: nn.MaxPool2d | nn.MaxPool3d, x: Tensor, dilation: int) -> Tensor:
    pool = nn.functional.max_pool2d if x.dim() == 4 else nn.functional.max_pool3d
    found: Tensor = pool(x, 2, stride=1, dilation=dilation)
    return found
