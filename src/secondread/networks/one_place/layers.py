"""The layers, whose parameters are those of torch's convolutions.

A convolution whose kernel is as large as its map is one product of the map and the kernels, each as a row of
numbers, and so is a transposed one of a single place. oneDNN does not see that: it brings the kernels, which
may have millions of numbers, into another order at each call. Products read them where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class ToOnePlace2d(nn.Conv2d):
    """`[N, I, *kernel]` to `[N, O, 1, 1]`; larger maps as `nn.Conv2d`."""

    def forward(self, input: Tensor) -> Tensor:
        found = _to_one_place(input, self.weight, self.bias)
        return super().forward(input) if found is None else found


class ToOnePlace3d(nn.Conv3d):
    """The same for volumes."""

    def forward(self, input: Tensor) -> Tensor:
        found = _to_one_place(input, self.weight, self.bias)
        return super().forward(input) if found is None else found


class FromOnePlace2d(nn.ConvTranspose2d):
    """`[N, I, 1, 1]` to `[N, O, *kernel]`; larger maps as `nn.ConvTranspose2d`."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        found = _from_one_place(input, self.weight, self.bias)
        return super().forward(input, output_size) if found is None else found


class FromOnePlace3d(nn.ConvTranspose3d):
    """The same for volumes."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        found = _from_one_place(input, self.weight, self.bias)
        return super().forward(input, output_size) if found is None else found


_TO: dict[int, type[nn.Module]] = {2: ToOnePlace2d, 3: ToOnePlace3d}
_FROM: dict[int, type[nn.Module]] = {2: FromOnePlace2d, 3: FromOnePlace3d}


def to_one_place(
    rank: int, channels_in: int, channels_out: int, grid: Sequence[int], *, bias: bool = True
) -> nn.Module:
    """A convolution with kernels of the size of the map, without a border."""
    return _TO[rank](channels_in, channels_out, tuple(grid), bias=bias)


def from_one_place(
    rank: int, channels_in: int, channels_out: int, grid: Sequence[int], *, bias: bool = True
) -> nn.Module:
    """A transposed convolution of one place with kernels of the size of the map that comes out."""
    return _FROM[rank](channels_in, channels_out, tuple(grid), bias=bias)


def _to_one_place(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    if x.shape[2:] != weight.shape[2:]:
        return None
    plain = weight.is_contiguous()
    y = functional.linear(_flat(x, plain), _flat(weight, plain), bias)
    return y.view(*y.shape, *[1] * (x.dim() - 2))


def _from_one_place(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    if any(length != 1 for length in x.shape[2:]):
        return None
    plain, (outs, *grid) = weight.is_contiguous(), weight.shape[1:]
    y = x.flatten(1) @ _flat(weight, plain)
    y = y.unflatten(1, (outs, *grid)) if plain else y.unflatten(1, (*grid, outs)).movedim(-1, 1)
    return y if bias is None else y + bias.view(-1, *[1] * len(grid))


def _flat(x: Tensor, plain: bool) -> Tensor:
    """`[N, C, *S]` as rows, of channels one after another, or of places."""
    return x.flatten(1) if plain else x.movedim(1, -1).flatten(1)
