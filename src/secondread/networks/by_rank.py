"""The layer classes of torch by the rank of the image: 2 for `[N, C, H, W]`, 3 for `[N, C, D, H, W]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

CONVOLUTION: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONVOLUTION: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOL: dict[int, type[nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}
_ADAPTIVE_MEAN: dict[int, Callable[..., Tensor]] = {
    1: nn.functional.adaptive_avg_pool1d,
    2: nn.functional.adaptive_avg_pool2d,
    3: nn.functional.adaptive_avg_pool3d,
}
_MEAN: dict[int, Callable[..., Tensor]] = {
    2: nn.functional.avg_pool2d,
    3: nn.functional.avg_pool3d,
}
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class ThinPointwise(nn.Conv2d):
    """A strided 1×1 convolution of few channels: it takes the positions out first, then has a stride of 1.

    What oneDNN has for the backward pass of a strided one, of 2 to 7 channels in channels-last order, writes
    beyond its memory on CPUs with AVX2 and without AVX-512 (torch 2.13), which ends the process. The forward
    pass of `ThinTransposedPointwise` would be the same operation.
    """

    def forward(self, x: Tensor) -> Tensor:
        down, across = self.stride
        return nn.functional.conv2d(x[:, :, ::down, ::across], self.weight, self.bias)


class ThinTransposedPointwise(nn.ConvTranspose2d):
    """A strided transposed 1×1 convolution to few channels: one of stride 1, with zeros put between."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        y = nn.functional.conv2d(x, self.weight.transpose(0, 1))
        down, across = self.stride
        rest_down, rest_across = self.output_padding
        height = (y.shape[2] - 1) * down + 1 + int(rest_down)
        width = (y.shape[3] - 1) * across + 1 + int(rest_across)
        spread = channels_last(y.new_zeros(*y.shape[:2], height, width))
        spread[:, :, ::down, ::across] = y
        return spread if self.bias is None else spread + self.bias.view(-1, 1, 1)


def convolution(
    rank: int,
    channels_in: int,
    channels_out: int,
    kernel: int,
    strides: int | Sequence[int] = 1,
    padding: int = 0,
    *,
    bias: bool = True,
) -> nn.Module:
    """A convolution of this rank whose kernel or strides are settings; its parameters have the same names and
    shapes on every machine."""
    strides = (strides,) * rank if isinstance(strides, int) else tuple(strides)
    thin = rank == 2 and kernel == 1 and padding == 0 and max(strides) > 1 and channels_in < 8
    kind = ThinPointwise if thin else CONVOLUTION[rank]
    return kind(channels_in, channels_out, kernel, strides, padding, bias=bias)


def transposed_convolution(
    rank: int,
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    *,
    output_padding: int = 0,
    bias: bool = True,
) -> nn.Module:
    """As `convolution`, transposed."""
    thin = rank == 2 and kernel == 1 and padding == 0 and stride > 1 and channels_out < 8
    kind = ThinTransposedPointwise if thin else TRANSPOSED_CONVOLUTION[rank]
    return kind(channels_in, channels_out, kernel, stride, padding, output_padding, bias=bias)


def batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The modules of a network that normalise by batches."""
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def channels_last(x: Tensor) -> Tensor:
    """`x` in channels-last memory order, which the matrix units of CPUs and GPUs want; same values."""
    order = _CHANNELS_LAST.get(x.dim() - 2)
    return x if order is None else x.contiguous(memory_format=order)


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Linear interpolation of `[N, C, *spatial]` to `size`; `x` itself where it has that size."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return nn.functional.interpolate(x, size=size, mode=INTERPOLATION[len(size)], align_corners=False)


def area_resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Mean over the cells of a grid of `size`; for masks, the share of each cell that is set."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return _ADAPTIVE_MEAN[len(size)](x, size)


def channel_mean(x: Tensor) -> Tensor:
    """The mean of `[N, C, *S]` over its channels, `[N, 1, *S]`; `x` itself where it has one."""
    return x if x.shape[1] == 1 else x.mean(dim=1, keepdim=True)


def halved(x: Tensor) -> Tensor:
    """`[N, C, *spatial]` on a grid half as fine, by means of 2 along each axis; an odd length loses its last
    position."""
    return _MEAN[x.dim() - 2](x, 2)


def neighbourhood_mean(x: Tensor, side: int) -> Tensor:
    """The mean of `[N, C, *spatial]` over `side` positions per axis (odd) around each, those beyond the edge
    left out; `x` itself where it is 1."""
    if side == 1:
        return x
    rank = x.dim() - 2
    around, mean = [side // 2] * (2 * rank), _MEAN[rank]
    share = mean(nn.functional.pad(torch.ones_like(x[:1, :1]), around), side, stride=1)
    return mean(nn.functional.pad(x, around), side, stride=1) / share


def zero_padded_mean(x: Tensor, side: int) -> Tensor:
    """The mean of `[N, C, *spatial]` over `side` positions per axis (odd) around each; those beyond the edge
    count as 0."""
    return _MEAN[x.dim() - 2](x, side, stride=1, padding=side // 2)
