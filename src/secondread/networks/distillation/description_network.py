"""The patch description network and the autoencoder of EfficientAD (Batzner et al., WACV 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from secondread.networks.by_rank import AVERAGE_POOL, CONVOLUTION, channels_last, resize
from secondread.networks.cells import Cells

Form = Literal["small", "medium"]
LAYERS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "small": ((4, 1, 3), (0, 0, 1), (4, 2, 3), (0, 0, 1), (3, 2, 1), (4, 0, 0)),
    "medium": ((4, 2, 3), (0, 0, 1), (4, 4, 3), (0, 0, 1), (1, 4, 0), (3, 4, 1), (4, 0, 0), (1, 0, 0)),
}
"""Kernel (0: a pool of 2), width as a multiple of the network's (0: that of the descriptor), and padding."""
FIELD = 33
"""Pixels that a descriptor looks at."""
HALVINGS = 5
"""Of the autoencoder, before its last convolution."""
ENLARGED = ((64, 1), (32, 0), (16, 1), (8, 0), (4, 1), (2, 1))
"""Sizes in the autoencoder's decoder: the image's divided by the first, less the second."""


class DescriptionNetwork(nn.Module):
    """Images `[N, C, *S]` in [0, 1] to descriptors `[N, D, *s]` of patches of 33 pixels, every 4 pixels.

    Without `padding` patches lie within the image; with it there are S / 4 along each axis, of zeros beyond.
    """

    def __init__(
        self, rank: int, channels: int, form: Form, *, width: int, descriptor: int, padding: bool
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        before = channels
        for kernel, times, around in LAYERS[form]:
            beyond = around if padding else 0
            if kernel == 0:
                steps.append(AVERAGE_POOL[rank](2, 2, beyond))
                continue
            after = times * width or descriptor
            steps.append(CONVOLUTION[rank](before, after, kernel, padding=beyond))
            before = after
        self.steps = nn.ModuleList(steps)
        self.last = len(steps) - 1
        self.geometry = [
            (kernel or 2, 1 if kernel else 2, around * padding) for kernel, _, around in LAYERS[form]
        ]

    def forward(self, images: Tensor) -> Tensor:
        x = channels_last(2 * images - 1)
        for place, step in enumerate(self.steps):
            x = step(x)
            if place < self.last and isinstance(step, tuple(CONVOLUTION.values())):
                x = relu(x)
        return x

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """The descriptors along each axis of an image of this size; ValueError where there is none."""
        found = tuple(size)
        for kernel, stride, around in self.geometry:
            found = tuple((length + 2 * around - kernel) // stride + 1 for length in found)
        if min(found) < 1:
            raise ValueError(
                f"descriptors of patches of {FIELD} pixels need images of {FIELD} pixels or more along each "
                f"axis, not {min(size)}; set padding, or a larger size"
            )
        return found

    def cells(self, rank: int) -> Cells:
        """Where descriptors look."""
        found = Cells.pixels(rank)
        for kernel, stride, around in self.geometry:
            found = found.seen_through([kernel] * rank, [stride] * rank, [around] * rank)
        return found


class DescriptionAutoencoder(nn.Module):
    """Images `[N, C, *size]` in [0, 1] through a code `[N, 64]` to descriptors `[N, D, *grid]`.

    Five convolutions of stride 2 and one over what is left make the code; axes of one position are not halved
    further. Eight convolutions, each behind a linear enlargement but for the last, give the descriptors, the
    first six with ReLU and dropout of `noise` behind them.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        size: Sequence[int],
        grid: Sequence[int],
        *,
        descriptor: int,
        widths: tuple[int, int] = (32, 64),
        noise: float = 0.2,
    ) -> None:
        super().__init__()
        narrow, wide = widths
        convolution = CONVOLUTION[rank]
        left, before = tuple(size), channels
        inward: list[nn.Module] = []
        for after in (narrow, narrow, wide, wide, wide)[:HALVINGS]:
            long = [length > 1 for length in left]
            kernel, stride, around = (
                tuple(value if own else other for own in long) for value, other in ((4, 1), (2, 1), (1, 0))
            )
            inward.append(convolution(before, after, kernel, stride, around))
            left, before = tuple(max(1, length // 2) for length in left), after
        inward.append(convolution(wide, wide, left))
        self.inward = nn.ModuleList(inward)
        self.outward = nn.ModuleList(convolution(wide, wide, 4, padding=2) for _ in ENLARGED)
        self.sizes = [
            tuple(max(1, length // divisor - less) for length in size) for divisor, less in ENLARGED
        ]
        self.grid = tuple(grid)
        self.smoothed = convolution(wide, wide, 3, padding=1)
        self.described = convolution(wide, descriptor, 3, padding=1)
        self.noise = noise

    def forward(self, images: Tensor) -> Tensor:
        x = channels_last(2 * images - 1)
        for step in self.inward[:-1]:
            x = relu(step(x))
        x = self.inward[-1](x)
        for size, step in zip(self.sizes, self.outward, strict=True):
            x = dropout(relu(step(resize(x, size))), self.noise, self.training)
        given: Tensor = self.described(relu(self.smoothed(resize(x, self.grid))))
        return given


def borders(offset: Sequence[float], stride: Sequence[float]) -> tuple[int, ...]:
    """How many cells of this stride fit before the first one's centre, along each axis."""
    return tuple(math.floor(max(0.0, first) / step) for first, step in zip(offset, stride, strict=True))
