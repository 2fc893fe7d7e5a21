"""Linear layers, convolutions among them, whose spectral norm is held below a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.flows.glow.planes import neighbourhoods, scatter
from secondread.networks.by_rank import channels_last

FEW = 8
"""Channels of maps below which a transposed convolution is faster as a product and a scatter, on a CPU."""


Kind = Literal["enter", "inside", "leave"]


@dataclass(frozen=True)
class Place:
    """Where a layer stands in its block, and so how its matrix acts.

        enter    from planes `[channels, N, *S]` to hidden rows `[N * prod(S), width]`, by the matrix
                 `[width, channels * taps]` on each position's neighbourhood of `taps` positions, 3^rank or 1
        inside   from rows to rows, by `[out, in]`
        leave    from rows to planes, by the transpose of a matrix as of `enter`

    Rows of hidden values are a map channels-last. A convolution is torch's where that is faster on the CPU,
    else a product with gathered neighbourhoods; on a GPU it is always the latter, whose float32 is float32.
    """

    kind: Kind
    taps: int = 1

    def apply(self, matrix: Tensor, x: Tensor, grid: Sequence[int]) -> Tensor:
        """The layer without bias; `grid` is `(N, *S)`."""
        if self.kind == "inside":
            return x @ matrix.t()
        return self.up(matrix, x) if self.kind == "enter" else self.down(matrix, x, grid)

    def transposed(self, matrix: Tensor, y: Tensor, grid: Sequence[int]) -> Tensor:
        """The layer's transpose."""
        if self.kind == "inside":
            return y @ matrix
        return self.down(matrix, y, grid) if self.kind == "enter" else self.up(matrix, y)

    def gradient(self, x: Tensor, to_y: Tensor) -> Tensor:
        """Of the matrix, from the layer's input and the gradient of its output."""
        if self.kind == "inside":
            return to_y.t() @ x
        rows, planes = (to_y, x) if self.kind == "enter" else (x, to_y)
        return rows.t() @ self.gathered(planes).t()

    def gathered(self, planes: Tensor) -> Tensor:
        return planes.flatten(1) if self.taps == 1 else neighbourhoods(planes)

    def up(self, matrix: Tensor, x: Tensor) -> Tensor:
        """Rows from planes."""
        if self.taps == 1 or x.device.type != "cpu":
            return self.gathered(x).t() @ matrix.t()
        y = _CONVOLVE[x.dim() - 2](channels_last(x.movedim(0, 1)), _kernel(matrix, x), padding=1)
        return y.movedim(1, -1).reshape(-1, len(matrix))

    def down(self, matrix: Tensor, y: Tensor, grid: Sequence[int]) -> Tensor:
        """Planes from rows."""
        channels = matrix.shape[1] // self.taps
        if self.taps > 1 and channels >= FEW and y.device.type == "cpu":
            maps = y.view(*grid, len(matrix)).movedim(-1, 1)
            kernel = _kernel(matrix, maps.movedim(1, 0)[:channels])
            return _TRANSPOSED[len(grid) - 1](maps, kernel, padding=1).movedim(1, 0).contiguous()
        columns = matrix.t() @ y.t()
        if self.taps == 1:
            return columns.view(-1, *grid)
        return scatter(columns, grid[0], tuple(grid[1:]), y.dtype)


_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def _kernel(matrix: Tensor, planes: Tensor) -> Tensor:
    """A matrix of `enter` as a convolution's weight, for planes of so many channels."""
    rank = planes.dim() - 2
    return channels_last(matrix.view(len(matrix), -1, *(3,) * rank))


class LipschitzLayer(nn.Module):
    """A linear layer or a 3-wide convolution, divided by s / c where its spectral norm s is above c.

        W / max(1, s / c),   s = |W v|,   v <- W^T W v / |W^T W v|

    s is that of the convolution as it acts on maps of `size` with zeros beyond the edge, by power iteration
    on such a map (H. Gouk et al., 2018; J. Behrmann et al., 2019). The iteration goes on, from the v of the
    last time, until s changes by less than a share `tolerance`. v is a buffer, planes or a row; s comes from
    below, and the gradient takes v as a constant.

    Args:
        size: of the maps; empty for rows.
        kind: where the layer stands (`Place`); those at the ends see neighbours in maps.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: Sequence[int],
        kind: Kind,
        *,
        coefficient: float = 0.98,
        tolerance: float = 1e-3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.place = Place(kind, 1 if kind == "inside" else 3 ** len(size))
        self.coefficient, self.tolerance = coefficient, tolerance
        bound = 1 / math.sqrt(channels_in * self.place.taps)

        def uniform(*shape: int) -> Tensor:
            return bound * (2 * torch.rand(*shape, generator=generator) - 1)

        rows, planes = (channels_in, channels_out) if kind == "leave" else (channels_out, channels_in)
        self.weight = nn.Parameter(uniform(rows, planes * self.place.taps))
        self.bias = nn.Parameter(uniform(channels_out))
        seen = (1, planes) if kind == "inside" else (planes, 1, *size)
        self.direction: Tensor
        self.register_buffer("direction", torch.randn(*seen, generator=generator))

    def matrix(self, *, update: bool) -> Tensor:
        """The normalised weight, as `Place` takes it.

        update  in training: iterate to `tolerance` and keep v. Otherwise it is iterated to a tenth of
                that, and nothing is kept, so that a score is the same whenever it is asked for.
        """
        norm = self.spectral_norm(update=update)
        return self.weight / (norm / self.coefficient).clamp_min(1.0)

    def spectral_norm(self, *, update: bool) -> Tensor:
        """s, with gradient to the weight."""
        tolerance, most = (self.tolerance, 100) if update else (0.1 * self.tolerance, 1_000)
        with torch.no_grad():
            direction = self._iterated(tolerance, most)
            if update:
                self.direction.copy_(direction)
            image = self._there(direction)
            gathered = direction if self.place.kind == "inside" else self.place.gathered(direction).t()
            outer = image.t() @ gathered
            outer /= image.norm().clamp_min(torch.finfo(image.dtype).tiny)
        return (self.weight * outer).sum()

    def _there(self, direction: Tensor) -> Tensor:
        if self.place.kind == "inside":
            return direction @ self.weight.t()
        return self.place.up(self.weight, direction)

    def _iterated(self, tolerance: float, most: int) -> Tensor:
        """v after so many iterations as are needed, of length 1."""
        direction = self.direction / self.direction.norm()
        before = 0.0
        for _ in range(most):
            image = self._there(direction)
            if self.place.kind == "inside":
                again = image @ self.weight
            else:
                again = self.place.down(self.weight, image, direction.shape[1:])
            squared = float(again.norm())
            if squared == 0.0:
                break
            direction = again / squared
            if abs(squared - before) <= 2 * tolerance * squared:
                break
            before = squared
        return direction
